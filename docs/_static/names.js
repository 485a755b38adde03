// The theme's arrows in the navigation have no name that could be read out.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll("summary > .toctree-toggle")) {
    arrow.parentElement.setAttribute("aria-label", "Show or hide the pages below");
  }
});
