#!/usr/bin/env python3
"""Draws a message that Suture sends to Slack or Discord as a picture, by a page of our own.

    python3 docs/pictures/render.py            all the pictures of this folder
    python3 docs/pictures/render.py FILE.json  one of them

Needs Chromium (or what CHROMIUM names) and nothing besides Python's standard library. What it draws resembles the two
services, so that people know what to expect; it shows nothing of theirs, and it is no proof of what their clients do.
A file has `platform`, and `messages`: bodies as the adapters send them, one below the other. A picture that a body
names by an id is found in `pictures`.
"""

import base64
import html
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
WIDTH = 760
# More than any card is high; what is left over is cut off afterwards.
HEIGHT = 1700
# Sharp on screens with a fine grid, and still small as a file.
SCALE = 1.5

CSS = """
* { box-sizing: border-box; }
body { margin: 0; padding: 18px; width: 760px; font: 15px/1.46 "Noto Sans", "DejaVu Sans", sans-serif; }
.message { display: flex; gap: 12px; margin-bottom: 14px; }
.message:last-child { margin-bottom: 0; }
.mark { flex: none; width: 38px; height: 38px; border-radius: 8px; background: #37474f; color: #fff; font-weight: 700;
  font-size: 19px; line-height: 38px; text-align: center; }
.body { flex: 1; min-width: 0; }
.mark.none { height: 0; }
.reply { margin-bottom: 3px; font-size: 14px; }
.thread { border-bottom: 1px solid #dcdce0; color: #63646a; font-size: 13px; margin: 0 0 10px 50px; }
.slack .reply .block { margin: 0; }
.who { font-weight: 700; }
.app { font-size: 10px; font-weight: 600; padding: 1px 4px; border-radius: 3px; vertical-align: 2px; margin-left: 5px; }
code, pre { font-family: "DejaVu Sans Mono", "Noto Sans Mono", monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; }
.slack { background: #fff; color: #1f2023; }
.slack .app { background: #e4e4e6; color: #55565a; }
.slack h1 { font-size: 18px; line-height: 1.35; margin: 4px 0 8px; }
.slack .block { margin: 6px 0; overflow-wrap: anywhere; }
.slack .lines { white-space: pre-wrap; }
.slack code { font-size: 12.5px; background: #f4f4f5; border: 1px solid #dcdce0; border-radius: 3px; padding: 1px 3px;
  color: #b3264a; }
.slack pre { font-size: 12.5px; background: #f8f8f9; border: 1px solid #dcdce0; border-radius: 4px; padding: 8px 10px; }
.slack ul { margin: 4px 0; padding-left: 24px; }
.slack li { white-space: pre-wrap; }
.slack .alt { font-size: 13px; color: #63646a; }
.slack img { border-radius: 6px; width: 560px; }
.slack button { font: 700 14px "Noto Sans", sans-serif; background: #fff; color: #1f2023; border: 1px solid #bbbcc2;
  border-radius: 4px; padding: 6px 12px; margin: 2px 8px 2px 0; }
.slack button.primary { background: #17704f; border-color: #17704f; color: #fff; }
.slack button.danger { background: #fff; border-color: #bb2049; color: #bb2049; }
.slack .context { font-size: 13px; color: #63646a; }
.slack .context code { font-size: 12px; }
.discord { background: #303136; color: #dcdde0; }
.discord .mark { border-radius: 50%; }
.discord .who { color: #f4f4f6; }
.discord .app { background: #4c57c8; color: #fff; }
.discord .embed { background: #292a2f; border-left: 4px solid #607d8b; border-radius: 4px; padding: 10px 14px 14px;
  max-width: 640px; margin-top: 4px; font-size: 14px; }
.discord .author { font-size: 13px; font-weight: 600; color: #f4f4f6; margin-bottom: 4px; }
.discord .title { font-size: 16px; font-weight: 700; color: #f4f4f6; margin-bottom: 6px; }
.discord .fields { display: grid; grid-template-columns: repeat(6, 1fr); gap: 9px 12px; }
.discord .name { font-size: 13px; font-weight: 700; color: #f4f4f6; }
.discord .value { white-space: pre-wrap; overflow-wrap: anywhere; }
.discord code { font-size: 12.5px; background: #1f2024; border-radius: 3px; padding: 1px 4px; }
.discord pre { font-size: 12.5px; background: #1f2024; border: 1px solid #1a1b1e; border-radius: 4px; padding: 7px 10px;
  margin-top: 4px; }
.discord .minus { color: #f08080; }
.discord .plus { color: #7fce8f; }
.discord .change { color: #e3b768; }
.discord img { border-radius: 4px; margin-top: 12px; width: 100%; }
.discord .footer { font-size: 12px; color: #b2b4ba; margin-top: 8px; }
.discord button { font: 600 14px "Noto Sans", sans-serif; color: #fff; background: #4d4f58; border: 0;
  border-radius: 4px; padding: 8px 16px; margin: 8px 8px 0 0; }
.discord button.s1 { background: #4c57c8; }
.discord button.s3 { background: #2a7d46; }
.discord button.s4 { background: #cf3b40; }
"""


def escaped(text):
    return html.escape(text, quote=False)


def picture(name, pictures):
    data = base64.b64encode((HERE / pictures[name]).read_bytes()).decode()
    return f'<img src="data:image/png;base64,{data}">'


# Slack: blocks.


def slack_inline(element):
    if element["type"] != "text":
        raise ValueError(f"a rich text element of type {element['type']} is not drawn")
    text, style = escaped(element["text"]), element.get("style", {})
    for key, tag in [("code", "code"), ("bold", "b"), ("italic", "i"), ("strike", "s")]:
        if style.get(key):
            text = f"<{tag}>{text}</{tag}>"
    return text


def slack_rich(element):
    if element["type"] == "rich_text_list":
        items = "".join(f"<li>{''.join(map(slack_inline, e['elements']))}</li>" for e in element["elements"])
        return f"<ul>{items}</ul>"
    inner = "".join(map(slack_inline, element["elements"]))
    return {
        "rich_text_section": f'<div class="lines">{inner}</div>',
        "rich_text_preformatted": f"<pre>{inner}</pre>",
    }[element["type"]]


def slack_text(text):
    """A text object; of mrkdwn only code is drawn, for Suture sends nothing else there."""
    if text["type"] == "plain_text":
        return escaped(text["text"])
    # It comes with `&`, `<` and `>` escaped.
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text["text"])


def slack_block(block, pictures):
    kind = block["type"]
    if kind == "header":
        return f"<h1>{slack_text(block['text'])}</h1>"
    if kind == "rich_text":
        return f'<div class="block">{"".join(map(slack_rich, block["elements"]))}</div>'
    if kind == "image":
        return f'<div class="block">{picture(block["slack_file"]["id"], pictures)}</div>'
    if kind == "actions":
        buttons = (
            f'<button class="{e.get("style", "")}">{slack_text(e["text"])}</button>' for e in block["elements"]
        )
        return f'<div class="block">{"".join(buttons)}</div>'
    if kind == "context":
        return f'<div class="block context">{" ".join(map(slack_text, block["elements"]))}</div>'
    raise ValueError(f"a block of type {kind} is not drawn")


def slack_message(message, pictures):
    return "".join(slack_block(block, pictures) for block in message["blocks"])


# Discord: embeds and components.


def discord_text(text):
    """Markdown as far as Suture sends it: code, bold, and everything else escaped by a backslash."""
    out = []
    for part in re.split(r"(```.*?```|`[^`]+`)", text, flags=re.S):
        if part.startswith("```"):
            language, _, inner = part[3:-3].partition("\n")
            lines = escaped(inner.strip("\n")).split("\n")
            out.append(f"<pre>{chr(10).join(diff_line(l) if language == 'diff' else l for l in lines)}</pre>")
        elif part.startswith("`"):
            out.append(f"<code>{escaped(part[1:-1])}</code>")
        else:
            part = re.sub(r"\*\*(.+?)(?<!\\)\*\*", r"<b>\1</b>", escaped(part))
            out.append(re.sub(r"\\([^\w\s])|\\(_)", r"\1\2", part))
    return "".join(out)


def diff_line(line):
    name = {"-": "minus", "+": "plus", "!": "change"}.get(line[:1])
    return f'<span class="{name}">{line}</span>' if name else line


def discord_fields(fields):
    """Fields that stand beside each other come in threes; with two of them, each takes a half."""
    out, row = [], []

    def put():
        for field in row:
            out.append(discord_field(field, 6 // len(row)))
        row.clear()

    for field in fields:
        if not field.get("inline"):
            put()
            out.append(discord_field(field, 6))
            continue
        row.append(field)
        if len(row) == 3:
            put()
    put()
    return f'<div class="fields">{"".join(out)}</div>'


def discord_field(field, span):
    name, value = discord_text(field["name"]), discord_text(field["value"])
    return f'<div style="grid-column: span {span}"><div class="name">{name}</div><div class="value">{value}</div></div>'


def discord_embed(embed, pictures):
    parts = []
    if "author" in embed:
        parts.append(f'<div class="author">{escaped(embed["author"]["name"])}</div>')
    if "title" in embed:
        parts.append(f'<div class="title">{discord_text(embed["title"])}</div>')
    if "description" in embed:
        parts.append(f'<div class="value">{discord_text(embed["description"])}</div>')
    if embed.get("fields"):
        parts.append(discord_fields(embed["fields"]))
    if "image" in embed:
        parts.append(picture(embed["image"]["url"].removeprefix("attachment://"), pictures))
    if "footer" in embed:
        parts.append(f'<div class="footer">{escaped(embed["footer"]["text"])}</div>')
    return f'<div class="embed" style="border-color: #{embed["color"]:06x}">{"".join(parts)}</div>'


def discord_message(message, pictures):
    parts = [f"<div>{discord_text(message['content'])}</div>"] if message["content"] else []
    parts += [discord_embed(embed, pictures) for embed in message["embeds"]]
    for row in message["components"]:
        buttons = (f'<button class="s{b["style"]}">{escaped(b["label"])}</button>' for b in row["components"])
        parts.append(f"<div>{''.join(buttons)}</div>")
    return "".join(parts)


DRAWN = {"slack": slack_message, "discord": discord_message}


def page(drawing):
    platform, pictures = drawing["platform"], drawing.get("pictures", {})
    head = '<span class="who">Suture</span><span class="app">APP</span>'
    messages, replies = "", 0
    for message in drawing["messages"]:
        inner = DRAWN[platform](message, pictures)
        replies += "thread_ts" in message
        if replies == 1:
            messages += '<div class="thread">In its thread</div>'
        # What one says at a stretch has one name above it.
        mark, name = ("", "") if replies > 1 else ("S", head)
        if message.get("reply_broadcast"):
            inner += '<div class="block context">also in the channel</div>'
        kind, shape = ("message reply" if replies else "message"), ("mark" if mark else "mark none")
        messages += f'<div class="{kind}"><div class="{shape}">{mark}</div><div class="body">{name}{inner}</div></div>'
    return f'<!doctype html><meta charset="utf-8"><style>{CSS}</style><body class="{platform}">{messages}</body>'


# The picture: Chromium's is as high as its window, so the empty rows below go.


def chunks(png):
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def rows_of(png):
    """Width, bytes of a pixel, and the rows with their filters undone."""
    parts = list(chunks(png))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    size = {2: 3, 6: 4}.get(colour)
    if depth != 8 or size is None or interlaced:
        raise ValueError("Chromium made a PNG of another kind than was thought")
    data = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))
    stride, before, rows = width * size, bytes(width * size), []
    for y in range(height):
        start = y * (stride + 1)
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        if kind == 1:
            for i in range(size, stride):
                row[i] = (row[i] + row[i - size]) & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, before))
        elif kind == 3:
            for i in range(stride):
                left = row[i - size] if i >= size else 0
                row[i] = (row[i] + (left + before[i]) // 2) & 255
        elif kind == 4:
            for i in range(stride):
                left, corner = (row[i - size], before[i - size]) if i >= size else (0, 0)
                row[i] = (row[i] + paeth(left, before[i], corner)) & 255
        before = bytes(row)
        rows.append(before)
    return width, size, rows


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def cropped(png):
    """The picture without what is empty below, and in 256 colours: small enough for a document."""
    width, size, rows = rows_of(png)
    used = max(i for i, row in enumerate(rows) if row != rows[-1])
    rows = rows[: used + 1 + round(18 * SCALE)]
    pixels = [[row[i : i + 3] for i in range(0, len(row), size)] for row in rows]
    palette, index = few_colours(Counter(pixel for row in pixels for pixel in row))
    data = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in pixels)
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    sealed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


def few_colours(seen):
    """A palette, and the place in it for each colour: next comes whichever the palette shows worst by now."""
    palette = [seen.most_common(1)[0][0]]
    index = dict.fromkeys(seen, 0)
    off = {colour: distance(colour, palette[0]) for colour in seen}
    while len(palette) < 256 and any(off.values()):
        worst = max(off, key=lambda colour: off[colour] * seen[colour])
        for colour in seen:
            if (closer := distance(colour, worst)) < off[colour]:
                off[colour], index[colour] = closer, len(palette)
        palette.append(worst)
    return palette, index


def distance(one, other):
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2


def chromium():
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if not found:
        sys.exit("Chromium is missing: install it, or say where it is with CHROMIUM=..")
    return found


def draw(source):
    drawing = json.loads(source.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        html_file, png_file = Path(folder, "page.html"), Path(folder, "page.png")
        html_file.write_text(page(drawing), encoding="utf-8")
        options = ["--headless", "--disable-gpu", "--disable-lcd-text", "--hide-scrollbars"]
        options += [f"--force-device-scale-factor={SCALE}"]
        # Chromium's sandbox does not work for root; the page is our own and loads nothing.
        options += ["--no-sandbox"] if os.geteuid() == 0 else []
        options += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}"]
        options += [f"--screenshot={png_file}", html_file.as_uri()]
        subprocess.run([chromium(), *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        target = source.with_suffix(".png")
        target.write_bytes(cropped(png_file.read_bytes()))
    print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    for source in [Path(a) for a in sys.argv[1:]] or sorted(HERE.glob("*.json")):
        draw(source)
