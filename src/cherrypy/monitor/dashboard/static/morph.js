// Morphing: a page becomes what the server has sent anew, and whatever is the same stays the same
// element: focus, scroll positions, selections and what has been opened are not lost.

const keyOf = (node) => (node.nodeType === 1 ? node.dataset?.key || node.id || "" : "");
const alike = (one, two) => one.nodeType === two.nodeType && one.nodeName === two.nodeName && keyOf(one) === keyOf(two);

// What belongs to scripts or to the reader.
function kept(element) {
  return element.matches("[data-chart], [data-keep], #stack, #said, .at") || element === document.activeElement && element.matches("input, select");
}

function attributes(old, fresh) {
  for (const { name, value } of fresh.attributes)
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes])
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
}

export function morph(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (kept(old)) return;
  if (old.isEqualNode(fresh)) return;
  attributes(old, fresh);
  const wanted = [...fresh.childNodes];
  let place = old.firstChild;
  for (const child of wanted) {
    while (place && place.nodeType === 1 && place.matches(".at")) place = place.nextSibling;
    let found = place;
    if (!found || !alike(found, child)) {
      const key = keyOf(child);
      found = key ? [...old.children].find((one) => alike(one, child)) : null;
    }
    if (found) {
      if (found !== place) old.insertBefore(found, place);
      else place = place.nextSibling;
      morph(found, child);
    } else {
      old.insertBefore(document.importNode(child, true), place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    if (!(place.nodeType === 1 && place.matches(".at"))) place.remove();
    place = next;
  }
}
