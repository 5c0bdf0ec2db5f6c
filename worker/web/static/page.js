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

const seconds = Number(document.body.dataset.reload);
if (seconds) {
  setInterval(() => {
    if (document.visibilityState === "visible" && document.activeElement === document.body) location.reload();
  }, seconds * 1000);
}
