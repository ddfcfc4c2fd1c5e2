// How a channel stands, asked from the server again and again.

export type ChannelState = "offline" | "starting" | "live" | "away" | "ended" | "closed";

/** Something the broadcaster could do better. */
export interface Advice {
  kind: string;
  seconds?: number;
  wanted_seconds?: number;
  text?: string;
}

/** The document at `/api/v1/channels/<channel>`. */
export interface ChannelStatus {
  channel: string;
  state: ChannelState;
  broadcast: string | null;
  playlist: string | null;
  /** RFC 3339, as all times here. */
  started_at: string | null;
  latency_target_seconds: number | null;
  advice: Advice[];
  server_time: string;
}

/** What the server's clock reads, told by its answers. */
export class ServerClock {
  /** Milliseconds to add to this machine's clock. */
  #offset = 0;
  /** Round trip of the answer that told it; the shortest one is the most exact. */
  #roundTrip = Infinity;

  learn(serverTime: string, asked: number, answered: number): void {
    const told = Date.parse(serverTime);
    const roundTrip = answered - asked;
    if (Number.isNaN(told) || roundTrip < 0 || roundTrip > this.#roundTrip) return;
    this.#offset = told - (asked + roundTrip / 2);
    // A slightly worse one may replace it later: clocks drift.
    this.#roundTrip = roundTrip + 20;
  }

  now(): number {
    return Date.now() + this.#offset;
  }

  get known(): boolean {
    return this.#roundTrip < Infinity;
  }
}

/**
 * Milliseconds between two questions: while something is awaited, and while all is well. Who waits
 * for a broadcast misses its beginning by half of the first.
 */
const AWAITING_MS = 1_000;
const WELL_MS = 5_000;
const HIDDEN_FACTOR = 3;
const FAILING_MAX_MS = 30_000;
const ANSWER_MAX_MS = 8_000;

/** Asks for the status for as long as the page lives. */
export class StatusFeed {
  readonly #address: string;
  readonly #clock: ServerClock;
  readonly #tell: (status: ChannelStatus | null) => void;
  #failures = 0;
  #well = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking = false;

  /** `tell` hears every answer, and `null` for every failure. */
  constructor(channel: string, clock: ServerClock, tell: (status: ChannelStatus | null) => void) {
    this.#address = `/api/v1/channels/${encodeURIComponent(channel)}`;
    this.#clock = clock;
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.askSoon();
    });
  }

  /** While the picture runs there is less to ask for. */
  set well(well: boolean) {
    this.#well = well;
  }

  /** Asks at once, or at most twice a second. */
  askSoon(): void {
    this.#schedule(this.#failures > 0 ? this.#wait() : 500 * Math.random());
  }

  #wait(): number {
    let wait = this.#well ? WELL_MS : AWAITING_MS;
    if (this.#failures > 0) wait = Math.min(AWAITING_MS * 2 ** this.#failures, FAILING_MAX_MS);
    else if (document.hidden) wait *= HIDDEN_FACTOR;
    // Many viewers of one channel must not ask in step.
    return wait * (0.8 + 0.4 * Math.random());
  }

  #schedule(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), wait);
  }

  /** Starts asking: the first answer comes after the first wait. */
  start(): void {
    this.#schedule(this.#wait());
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    let status: ChannelStatus | null = null;
    try {
      const asked = Date.now();
      const answer = await fetch(this.#address, {
        cache: "no-store",
        signal: AbortSignal.timeout(ANSWER_MAX_MS),
      });
      const answered = Date.now();
      if (answer.ok || answer.status === 410) {
        status = (await answer.json()) as ChannelStatus;
        this.#clock.learn(status.server_time, asked, answered);
      }
    } catch {
      // No network, or no answer in time: told as a failure below.
    }
    this.#asking = false;
    this.#failures = status === null ? this.#failures + 1 : 0;
    this.#schedule(this.#wait());
    this.#tell(status);
  }
}
