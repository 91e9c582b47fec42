/** HTML as a tagged template: every interpolated text is escaped, so a model's names cannot inject markup. */

/** Markup that is safe to insert as it is. */
export class Markup {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

type Piece = string | number | Markup | readonly Markup[] | null;

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const escapeText = (text: string): string => text.replace(/[&<>"']/g, (c) => ENTITIES[c]);

function render(piece: Piece): string {
  if (piece === null) return "";
  if (piece instanceof Markup) return piece.text;
  if (typeof piece === "object") return piece.map(String).join("");
  return escapeText(String(piece));
}

/** Markup from a template; strings and numbers are escaped, `Markup` and lists of it are not, null is nothing. */
export function html(strings: TemplateStringsArray, ...pieces: Piece[]): Markup {
  return new Markup(strings.reduce((text, s, i) => text + render(pieces[i - 1]) + s));
}
