// Shown while the recorder is away; loads what was asked for as soon as it is back.
let language = (navigator.language || "en").slice(0, 2);
try {
  language = JSON.parse(localStorage.getItem("nvr.language")) || language;
} catch {
  // Then the browser's.
}
for (const element of document.querySelectorAll("[data-en]")) {
  element.textContent = element.dataset[language] || element.dataset.en;
}
document.documentElement.lang = ["en", "de", "fr"].includes(language) ? language : "en";
setInterval(() => fetch("health", { cache: "no-store" }).then(() => location.reload(), () => {}), 3000);
