// Keeps a page up to date: waits to be told that something has changed, fetches the page again, and puts what it says now
// in place of what is shown. What the reader is doing goes before that: focus and place stay, what was opened stays open,
// and where something is being filled in or selected the page only says that there is something new.
(() => {
  "use strict";
  const main = document.getElementById("content");
  const news = document.querySelector(".news");
  if (!main || !main.dataset.live || !news || !window.EventSource) return;

  const FIELDS = "input:not([type=hidden]), select, textarea";
  const FIRST_WAIT = 30_000, LONGEST_WAIT = 600_000, ANSWER_WITHIN = 20_000;
  let known = main.dataset.after;
  let shown = said(main);
  let source = null, wait = FIRST_WAIT, fetching = false, oncemore = false, refused = false;

  // What a page says, whatever the fields that its forms carry unseen.
  function said(part) {
    const copy = part.cloneNode(true);
    for (const field of copy.querySelectorAll("input[type=hidden]")) field.remove();
    return copy.innerHTML;
  }

  // By and by, and not all browsers at once.
  function later(work) {
    setTimeout(work, wait * (0.5 + Math.random()));
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }

  function listen() {
    if (source || document.hidden) return;
    const address = new URL(main.dataset.live, location.href);
    address.searchParams.set("after", known);
    source = new EventSource(address);
    source.onopen = () => { wait = FIRST_WAIT; refused = false; };
    source.onmessage = (event) => { known = event.lastEventId; refresh(); };
    source.onerror = () => {
      if (!source || source.readyState !== EventSource.CLOSED) return; // else it comes again by itself
      hush();
      later(listen);
      if (!refused) refresh(); // it may be that the reader may not read this any more: once, until one is let in again
      refused = true;
    };
  }

  function hush() {
    if (source) source.close();
    source = null;
  }

  async function refresh() {
    if (fetching) { oncemore = true; return; }
    fetching = true;
    let answer, text;
    try {
      const signal = AbortSignal.timeout(ANSWER_WITHIN);
      answer = await fetch(location.href, { cache: "no-store", redirect: "manual", signal });
      if (answer.status >= 500) throw new Error("later");
      text = await answer.text();
    } catch {
      later(refresh);
    }
    if (text !== undefined) take(answer, text);
    fetching = false;
    if (oncemore) { oncemore = false; refresh(); }
  }

  function take(answer, text) {
    if (answer.status === 403) return location.reload(); // not theirs any more: it goes, whatever is being filled in
    if (answer.type === "opaqueredirect") return busy() ? offer() : location.reload(); // to where one signs in
    try {
      show(new DOMParser().parseFromString(text, "text/html"));
    } catch {
      offer(); // a fault of ours, which would come again: the browser shows it without us
    }
  }

  function show(page) {
    const fresh = page.getElementById("content");
    // Around <main>, too, a page is of one language.
    if (!fresh || page.documentElement.lang !== document.documentElement.lang) return offer();
    const says = said(fresh);
    if (says === shown) return;
    const heading = (part) => (part.querySelector("h1") || part).textContent.trim();
    const before = heading(main), now = heading(fresh);
    if (busy() || !swap(fresh)) return offer();
    shown = says;
    document.title = page.title;
    const tabs = document.querySelector(".bar nav"), newTabs = page.querySelector(".bar nav");
    if (tabs && newTabs && !tabs.contains(document.activeElement)) tabs.replaceWith(newTabs);
    const heard = document.createElement("p");
    heard.className = "heard";
    heard.textContent = now === before ? news.dataset.changed : now;
    news.replaceChildren(heard);
  }

  function offer() {
    if (news.querySelector("button")) return;
    news.replaceChildren(document.getElementById("news").content.cloneNode(true));
    news.querySelector("button").addEventListener("click", () => location.reload());
  }

  function busy() {
    const selected = getSelection();
    if (selected && !selected.isCollapsed && main.contains(selected.anchorNode)) return true;
    if (main.contains(document.activeElement) && document.activeElement.matches(FIELDS)) return true;
    if (main.querySelector("details[open] form") || main.querySelector(":active")) return true; // or what is pressed now
    return [...main.querySelectorAll(FIELDS)].some(filled);
  }

  function filled(field) {
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (!field.options) return field.value !== field.defaultValue;
    const first = [...field.options].find((one) => one.defaultSelected) || field.options[0];
    return Boolean(first) && field.value !== first.value;
  }

  // What makes an element the same one in two states of the page.
  function mark(one) {
    const by = one.tagName === "DETAILS" ? one.querySelector("summary") : one;
    return one.getAttribute("href") || [one.getAttribute("name"), one.getAttribute("value"), by.textContent.trim()].join("\n");
  }

  function twin(one, to) {
    const alike = (part) => [...part.querySelectorAll(one.tagName)].filter((other) => mark(other) === mark(one));
    return alike(to)[alike(main).indexOf(one)];
  }

  // False, and nothing done, where something that the reader is at is not there any more.
  function swap(fresh) {
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const heir = focused && twin(focused, fresh);
    const opened = [...main.querySelectorAll("details[open]")].map((one) => twin(one, fresh));
    if ((focused && !heir) || opened.includes(undefined)) return false;
    const inView = scrollY === 0 ? [] : [...main.querySelectorAll("a[href], h2, h3, blockquote")].filter(
      (one) => one.getBoundingClientRect().bottom > 0 && twin(one, fresh));
    const [at, stays] = inView.length ? [inView[0].getBoundingClientRect().top, twin(inView[0], fresh)] : [0, null];
    for (const one of opened) one.open = true;
    main.replaceChildren(...fresh.childNodes);
    if (heir) heir.focus({ preventScroll: true });
    if (stays) scrollBy({ top: stays.getBoundingClientRect().top - at, behavior: "instant" });
    return true;
  }

  // A page that nobody looks at needs no connection; when somebody does again, it is told what it has missed.
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  addEventListener("pageshow", listen);
  listen();
})();
