// What pages without a player do: times in the visitor's zone, the server's name where people
// publish to it, and a list of channels that stays fresh by itself.

const REFRESH_MS = 5_000;

function showLocalTimes(root: ParentNode): void {
  const long = new Intl.DateTimeFormat(document.documentElement.lang, {
    dateStyle: "full",
    timeStyle: "long",
  });
  const short = new Intl.DateTimeFormat(document.documentElement.lang, {
    timeStyle: "short",
  });
  for (const time of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    if (time.dataset["local"] === "short") {
      time.title = time.textContent ?? "";
      time.textContent = short.format(at);
    } else {
      time.title = long.format(at);
    }
  }
  for (const cell of root.querySelectorAll<HTMLElement>("[data-local-cell]")) {
    const at = Date.parse(cell.dataset["localCell"] ?? "");
    if (Number.isNaN(at)) continue;
    cell.textContent = long.format(at);
    cell.hidden = false;
  }
  for (const head of root.querySelectorAll<HTMLElement>("[data-local-head]")) {
    head.hidden = false;
  }
}

function showHost(): void {
  for (const span of document.querySelectorAll<HTMLElement>("[data-host]")) {
    span.textContent = location.hostname;
  }
}

/** Fetches this same page again and takes over the parts that may change. */
async function refresh(part: HTMLElement): Promise<void> {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const replacement = fresh.getElementById(part.id);
  if (!replacement) return;
  showLocalTimes(replacement);
  // Only a change is shown, so that a screen reader is not told the same again.
  if (replacement.innerHTML !== part.innerHTML) {
    part.replaceChildren(...replacement.childNodes);
  }
}

function keepFresh(): void {
  const part = document.querySelector<HTMLElement>("[data-refresh]");
  if (!part) return;
  const again = async (): Promise<void> => {
    if (!document.hidden) await refresh(part).catch(() => undefined);
    setTimeout(() => void again(), REFRESH_MS * (0.9 + Math.random() * 0.2));
  };
  setTimeout(() => void again(), REFRESH_MS);
}

showLocalTimes(document);
showHost();
keepFresh();
