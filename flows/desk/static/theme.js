// Before the page is drawn: light or dark, as this browser was told, or as its system has it.
(() => {
  const root = document.documentElement;
  // A link that has the password in it let this browser in; scripts may not ask under such an address.
  if (new URL(document.URL).username) location.replace(location.origin + location.pathname + location.search);
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  if (kept()) root.dataset.theme = kept();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-switch]");
    const isDark = () => root.dataset.theme
      ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const say = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = false;
    if (innerWidth < 700) document.querySelectorAll("details[data-wide]").forEach((part) => { part.open = false; });
    say();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* not kept */ }
      say();
    });
  });
})();
