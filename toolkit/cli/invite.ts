/** How a phone is asked to join: a QR code to scan, and the address to type. */
import { renderUnicodeCompact } from "uqr";
import type { StartedHub } from "../../runners/hub/run.js";

/** The code fits any terminal of 80 columns; dark modules are drawn light, which scanners read on dark terminals too. */
const qrCode = (url: string): string => renderUnicodeCompact(url, { border: 2 });

export const inviteText = (url: string): string =>
  [
    "",
    qrCode(url),
    "",
    `Scan this with the phone, or open ${url}`,
    "Keep the page in the foreground and the screen on. Both must be in the same network.",
    "",
  ].join("\n");

/** What `edgefit hub` shows when it has started. */
export function hubInvitation({
  pageUrl,
  plainUrl,
  certificate,
  remote,
}: Omit<StartedHub, "devices" | "close">): string {
  const lines = [inviteText(pageUrl)];
  if (certificate && plainUrl) {
    lines.push(
      certificate.reused
        ? "The certificate is the one of before: phones that have accepted it do not ask again."
        : "The certificate was made here, so the browser warns once: choose its details, then to go on all the same.",
      `Its SHA-256 begins with ${certificate.fingerprint.slice(0, 23)}. Without it, one thread and no WebGPU: ${plainUrl}`,
    );
  } else lines.push("This address is not secure, so phones run one thread and no WebGPU; --https gives one that is.");
  lines.push(
    "",
    "In another terminal: edgefit devices, and any command with --device hub or --device NAME.",
    `From another machine: --device '${remote}'`,
    "Ctrl-C ends the hub.",
    "",
  );
  return lines.join("\n");
}
