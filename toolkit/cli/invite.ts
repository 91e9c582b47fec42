/** How a phone is asked to join: a QR code to scan, and the address to type. */
import { renderUnicodeCompact } from "uqr";

/** The code fits any terminal of 80 columns; dark modules are drawn light, which scanners read on dark terminals too. */
export const inviteText = (url: string): string =>
  [
    "",
    renderUnicodeCompact(url, { border: 2 }),
    "",
    `Scan this with the phone, or open ${url}`,
    "Keep the page in the foreground and the screen on. Both must be in the same network.",
    "",
  ].join("\n");
