/// <reference lib="dom" />
/** The socket to the hub, opened again whenever it ends, unless the hub says that this is pointless. */
import { CLOSED } from "./hello.js";

export interface ConnectionEvents {
  open(): void;
  message(data: Uint8Array): void;
  /** The socket ended; it is tried again in so many seconds. */
  lost(retrySeconds: number): void;
  /** It is not tried again. */
  ended(why: "replaced" | "stale" | "full" | "over"): void;
}

export interface Connection {
  send(data: Uint8Array<ArrayBuffer>): void;
  /** Try now, not after the pause. */
  retry(): void;
  /** The page is left: the hub need not think that it crashed. */
  leave(): void;
}

const SLOWEST_S = 15;

export function connect(url: string, on: ConnectionEvents): Connection {
  let socket: WebSocket | undefined;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function open(): void {
    clearTimeout(timer);
    const s = new WebSocket(url);
    socket = s;
    s.binaryType = "arraybuffer";
    let opened = false;
    s.onopen = () => {
      opened = true;
      on.open();
    };
    s.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      failures = 0;
      on.message(new Uint8Array(data));
    };
    s.onclose = async ({ code }) => {
      if (socket !== s) return;
      if (code === CLOSED.replaced) return on.ended("replaced");
      if (code === CLOSED.full) return on.ended("full");
      if (code === CLOSED.over) return on.ended("over");
      // A refused handshake looks like a network failure; the page's own address tells them apart.
      if (!opened && (await isStale())) return on.ended("stale");
      const seconds = Math.min(SLOWEST_S, 2 ** failures++);
      on.lost(seconds);
      timer = setTimeout(open, seconds * 1000);
    };
  }
  open();
  return {
    send: (data) => socket?.readyState === WebSocket.OPEN && socket.send(data),
    leave: () => socket?.close(CLOSED.left),
    retry() {
      failures = 0;
      if (socket?.readyState !== WebSocket.OPEN && socket?.readyState !== WebSocket.CONNECTING) open();
    },
  };
}

const isStale = (): Promise<boolean> =>
  fetch(location.href, { cache: "no-store" }).then(
    (r) => r.status === 401,
    () => false,
  );
