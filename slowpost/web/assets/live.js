// Shows the page anew in place: what is in <main> is exchanged, while focus, scrolled tables and open details stay.
"use strict";
(() => {
  const every = Number(document.body.dataset.live) * 1000;

  const nameOf = (element) => element.id || element.getAttribute("href") || element.getAttribute("aria-labelledby");

  const named = (main, name) =>
    name && [...main.querySelectorAll("[id], [href], [aria-labelledby], summary")].find((one) => nameOf(one) === name);

  const show = (fresh) => {
    const main = document.querySelector("main");
    const focused = main.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    const scrolled = [...main.querySelectorAll(".scrolls")].map((one) => [nameOf(one), one.scrollLeft]);
    const open = [...main.querySelectorAll("details[open][id]")].map((one) => one.id);
    main.replaceChildren(...fresh.childNodes);
    for (const id of open) {
      const same = document.getElementById(id);
      if (same) same.open = true;
    }
    for (const [name, left] of scrolled) {
      const same = named(main, name);
      if (same) same.scrollLeft = left;
    }
    const same = named(main, focused);
    if (same) same.focus({ preventScroll: true });
  };

  const stale = (words) => {
    let note = document.getElementById("stale");
    if (!words) {
      if (note) note.remove();
      return;
    }
    if (!note) {
      note = document.createElement("p");
      note.id = "stale";
      note.className = "note bad";
      note.setAttribute("role", "status");
      document.querySelector("header").after(note);
    }
    if (note.textContent !== words) note.textContent = words;
  };

  const look = async () => {
    if (document.hidden || String(getSelection())) return;
    try {
      const answer = await fetch(location.href, { redirect: "error", signal: AbortSignal.timeout(every) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok) throw new Error(answer.status);
      show(page.querySelector("main"));
      stale("");
    } catch {
      stale("This page can't be shown anew at the moment: what stands here is old. Load it again.");
    }
  };

  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
})();
