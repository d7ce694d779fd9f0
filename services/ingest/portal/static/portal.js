// Shows what would come of a need while it is being written: after a pause, one question at a time, the newest last.
(() => {
  "use strict";
  const form = document.querySelector("form[data-preview]");
  const shown = document.getElementById("preview");
  if (!form || !shown || !window.fetch) return;

  const PAUSE = 1_500;
  let timer = null, asking = false, again = false, last = "";

  async function ask() {
    if (asking) { again = true; return; }
    const sent = new URLSearchParams(new FormData(form)).toString();
    if (sent === last || !form.elements.title.value.trim()) return;
    asking = true;
    last = sent;
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body: new URLSearchParams(sent) });
      const part = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".near");
      if (part) shown.replaceChildren(part);
    } catch {
      last = "";  // the line is down; the next word asks again
    }
    asking = false;
    if (again) { again = false; later(); }
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  }

  form.addEventListener("input", later);
})();
