// Figures about how well it plays; tests read them from `window.__ghostlight`.

export interface Figures {
  /** Milliseconds from opening the page, and from loading the playlist, to the first picture. */
  firstFrameMs: number | null;
  startMs: number | null;
  /** Times that playing ran dry, and for how long in all. */
  stalls: number;
  stalledMs: number;
  /** Playlists loaded anew after an error, and holes that were jumped over. */
  reloads: number;
  jumps: number;
  errors: string[];
}

const ERRORS_MAX = 20;

export class Meter {
  readonly figures: Figures = {
    firstFrameMs: null,
    startMs: null,
    stalls: 0,
    stalledMs: 0,
    reloads: 0,
    jumps: 0,
    errors: [],
  };
  #loadedAt: number | null = null;
  #stalledAt: number | null = null;

  loading(): void {
    this.#loadedAt = performance.now();
    this.figures.startMs = null;
    this.#stalledAt = null;
  }

  /** A picture is on the screen. */
  shown(): void {
    const now = performance.now();
    this.figures.firstFrameMs ??= now;
    if (this.#loadedAt !== null) this.figures.startMs ??= now - this.#loadedAt;
    if (this.#stalledAt !== null) this.figures.stalledMs += now - this.#stalledAt;
    this.#stalledAt = null;
  }

  /** Playing ran dry. Before the first picture that is loading, no stall. */
  dry(): void {
    if (this.figures.startMs === null || this.#stalledAt !== null) return;
    this.#stalledAt = performance.now();
    this.figures.stalls += 1;
  }

  /** It ran dry because nothing was sent: that is no stall. */
  excuse(): void {
    if (this.#stalledAt === null) return;
    this.#stalledAt = null;
    this.figures.stalls -= 1;
  }

  /** For how long nothing has moved, in ms. */
  get dryFor(): number {
    return this.#stalledAt === null ? 0 : performance.now() - this.#stalledAt;
  }

  failed(reason: string): void {
    if (this.figures.errors.length < ERRORS_MAX) this.figures.errors.push(reason);
  }
}
