// Light, dark, or as the system has it: set before anything is painted, so it is no module.
(function () {
  const root = document.documentElement;
  root.classList.add("scripted");
  try {
    const theme = localStorage.getItem("kirsch-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Without storage the system decides.
  }
})();
