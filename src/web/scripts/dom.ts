/** The element with an id that the page is known to have. */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** What the viewer chose earlier; private windows may forbid to remember. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`ghostlight.${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`ghostlight.${key}`, value);
  } catch {
    // Then the next visit starts afresh.
  }
}
