// Times in the reader's own zone; the overview loads again while somebody looks at it.
"use strict";

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const element of document.querySelectorAll("time[datetime]")) {
  const when = new Date(element.dateTime);
  if (Number.isNaN(when.getTime())) continue;
  if (element.dataset.ago === undefined) {
    element.title = element.textContent;
    element.textContent = full.format(when);
  } else {
    element.title = full.format(when);
  }
}

// Sentences of the worker name times in UTC.
const inWords = /\b(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?) UTC\b/g;
for (const element of document.querySelectorAll(".alarms li, .health, .words p")) {
  for (const part of element.childNodes) {
    if (part.nodeType !== Node.TEXT_NODE) continue;
    part.data = part.data.replace(inWords, (whole, day, time) => {
      const when = new Date(`${day}T${time}Z`);
      return Number.isNaN(when.getTime()) ? whole : full.format(when);
    });
  }
}

const seconds = Number(document.body.dataset.reload);
if (seconds) {
  setInterval(() => {
    if (document.visibilityState === "visible" && document.activeElement === document.body) location.reload();
  }, seconds * 1000);
}

// Review: a key does what its button does, unless something is being typed or a key is held with it.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const own = event.key === " " ? "input, textarea, select, button, summary" : "input, textarea, select";
  if (event.target.closest(own)) return;
  for (const button of document.querySelectorAll("[data-key]")) {
    if (button.dataset.key === event.key.toLowerCase()) {
      event.preventDefault();
      button.click();
      return;
    }
  }
});
