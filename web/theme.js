// A classic script in the head, on purpose: it runs before the first paint, so that a chosen theme never flashes.
// "auto" is the absence of a choice: then the system's preference holds.
(() => {
  const KEY = "dashboard-rt-theme";
  const root = document.documentElement;

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden; the choice then lasts as long as the page
    }
  };

  const choose = (theme) => {
    root.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // as above
    }
  };

  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("#theme").addEventListener("click", () => {
      const systemDark = matchMedia("(prefers-color-scheme: dark)").matches;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark;
      choose(dark ? "light" : "dark");
    });
  });
})();
