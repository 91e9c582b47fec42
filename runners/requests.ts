/** The asking side of a link to a runtime: numbers requests, matches answers, and ends what is open when the link ends. */
import { type DeviceError, fromErrorData } from "./errors.js";
import type { Answers, FromHost, FromWorker, RequestOf } from "./protocol.js";

interface Pending {
  resolve: (value: never) => void;
  reject: (reason: unknown) => void;
}

export class Requests {
  private readonly pending = new Map<number, Pending>();
  private over: DeviceError | null = null;
  private lastId = 0;

  /**
   * @param post sends a message; whether it arrives is known by its answer only
   * @param onBusy told when the first request opens and when the last one is settled
   */
  constructor(
    private readonly post: (message: FromHost) => void,
    private readonly onBusy: (busy: boolean) => void = () => {},
  ) {}

  get size(): number {
    return this.pending.size;
  }

  /** Sends a request and waits for its answer. Aborting rejects with the signal's reason once the other side has stopped. */
  async ask<T extends keyof Answers>(request: RequestOf<T>, signal?: AbortSignal): Promise<Answers[T]> {
    signal?.throwIfAborted();
    if (this.over) throw this.over;
    const id = ++this.lastId;
    const abort = () => this.post({ abort: id });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await this.expect<Answers[T]>(id, () => this.post({ id, request }));
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** An answer came in. Answers to requests that are no longer open are dropped, and false is returned. */
  receive(m: Extract<FromWorker, { id: number }>): boolean {
    return this.settle(m.id, (p) => (m.ok ? p.resolve(m.value as never) : p.reject(fromErrorData(m.error))));
  }

  /** Nothing more can be asked, for this reason; open requests fail with the first one given. */
  end(reason: DeviceError): void {
    this.over ??= reason;
    for (const id of [...this.pending.keys()]) this.settle(id, (p) => p.reject(this.over));
  }

  private expect<T>(id: number, start: () => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.onBusy(true);
      start();
    });
  }

  private settle(id: number, how: (p: Pending) => void): boolean {
    const pending = this.pending.get(id);
    if (!pending) return false;
    this.pending.delete(id);
    if (this.pending.size === 0) this.onBusy(false);
    how(pending);
    return true;
  }
}
