// What of a page cannot be read, or is told by nothing: contrast below WCAG AA, skipped headings, nameless things.
(() => {
  const found = new Set();
  const named = (one) => `${one.tagName}.${one.className.baseVal ?? one.className}`;

  const numbers = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
    return text.startsWith("color(") ? [red * 255, green * 255, blue * 255, alpha] : [red, green, blue, alpha];
  };
  const over = (front, alpha, back) => front.map((part, index) => part * alpha + back[index] * (1 - alpha));
  const light = (color) => {
    const [red, green, blue] = color.map((part) => (part <= 10 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ancestors = function* (one) {
    for (; one; one = one.parentElement) yield one;
  };
  const ground = (element) => {
    const layers = [];
    for (const one of ancestors(element)) {
      const color = numbers(getComputedStyle(one).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reduceRight((under, color) => over(color.slice(0, 3), color[3], under), [255, 255, 255]);
  };

  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    if (!texts.currentNode.nodeValue.trim() || element.closest("script, option, title") || box.width < 2 || box.height < 2) continue;
    const style = getComputedStyle(element);
    const drawn = element.closest("svg");
    let [color, back] = [numbers(drawn ? style.fill : style.color), ground(drawn?.parentElement ?? element)];
    const under = element.closest(".flame") && element.parentElement.querySelector("rect");
    if (under) back = numbers(getComputedStyle(under).fill).slice(0, 3);
    const opacity = [...ancestors(element)].reduce((all, one) => all * Number(getComputedStyle(one).opacity), color[3]);
    const [dark, bright] = [light(over(color.slice(0, 3), opacity, back)), light(back)].sort((one, two) => one - two);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.add(`contrast ${ratio.toFixed(2)}: ${named(element)} in ${named(element.parentElement)}`);
  }

  let level = 0;
  for (const one of document.querySelectorAll("h1, h2, h3, h4")) {
    if (!one.getClientRects().length) continue;
    if (Number(one.tagName[1]) > level + 1) found.add(`heading: ${one.textContent}`);
    level = Number(one.tagName[1]);
  }
  const nameless = (one) => ![one.ariaLabel, one.textContent, one.closest("label")?.textContent, one.title].some((text) => text?.trim());
  for (const one of document.querySelectorAll("a, button, summary, select, input:not([type=hidden])"))
    if (nameless(one)) found.add(`nameless: ${one.outerHTML.slice(0, 90)}`);
  for (const one of document.querySelectorAll("[role=region], [role=img], [role=group], [role=application], [tabindex='0']"))
    if (!one.ariaLabel && !document.getElementById(one.getAttribute("aria-labelledby"))) found.add(`unlabelled: ${named(one)}`);
  for (const one of document.querySelectorAll("table")) if (!one.caption) found.add("table without caption");
  for (const one of document.querySelectorAll("img:not([alt])")) found.add(`image: ${named(one)}`);
  for (const one of document.querySelectorAll(".scroll, pre")) if (one.tabIndex < 0) found.add(`no key scrolls: ${named(one)}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  ids.filter((id, index) => ids.indexOf(id) !== index).forEach((id) => found.add(`twice: #${id}`));
  const odd = document.body.innerText.match(/.{0,20}(undefined|NaN|\[object|\bnull\b).{0,20}/);
  if (odd) found.add(`text: ${odd[0]}`);
  return [...found];
})()
