/** The frame of every report: one HTML document, complete in itself. */
import { html, Markup } from "./markup.js";
import { STYLE } from "./style.js";

/**
 * @param version of edgefit, for the document's head
 * @param main what the document shows
 */
export const page = (title: string, version: string, main: Markup): Markup => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="edgefit ${version}">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
${main}
</main>
</body>
</html>
`;
