"""Horizontal bars as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

# Pixels, for a picture shown at half its size on a dense screen.
_WIDTH = 1800
_MARGIN = 48
_BAR = 44
_STEP = 72
_GROUP_GAP = 28
_HEAD = 150
_TITLE_SIZE, _TEXT_SIZE = 34, 26

_BACKGROUND = (255, 255, 255)
_INK = (32, 36, 44)
_FAINT = (120, 126, 138)
_LIMIT = (176, 182, 194)
_COLOURS = ((38, 110, 220), (236, 124, 32), (52, 160, 96), (150, 90, 200))


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: written to its left.
        group: bars of one group have one colour and stand together.
        value: its length.
        limit: the most it could be: an outline of that length behind it.
        text: written to its right.
    """

    label: str
    group: str
    value: float
    limit: float
    text: str


def bar_chart(title: str, subtitle: str, bars: Sequence[Bar]) -> Image.Image:
    """Draws bars, one below the other in the order given; all values share one scale."""
    groups = list(dict.fromkeys(bar.group for bar in bars))
    height = _HEAD + len(bars) * _STEP + (len(groups) - 1) * _GROUP_GAP + _MARGIN
    title_font = ImageFont.load_default(_TITLE_SIZE)
    font = ImageFont.load_default(_TEXT_SIZE)
    labels = max(font.getlength(bar.label) for bar in bars)
    texts = max(font.getlength(bar.text) for bar in bars)
    needed = title_font.getlength(title) + 2 * _MARGIN
    width = max(_WIDTH, round(needed))
    left = _MARGIN + labels + 24
    room = width - _MARGIN - texts - 24 - left
    longest = max(max(bar.value, bar.limit) for bar in bars)

    picture = Image.new("RGB", (width, height), _BACKGROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _MARGIN), title, _INK, title_font, anchor="lt")
    pen.text((_MARGIN, _MARGIN + 50), subtitle, _FAINT, font, anchor="lt")
    y = float(_HEAD)
    previous = bars[0].group
    for bar in bars:
        y += _GROUP_GAP * (bar.group != previous)
        previous = bar.group
        middle = y + _BAR / 2
        end = left + room * bar.value / longest
        limit = left + room * bar.limit / longest
        pen.rectangle((left, y, limit, y + _BAR), outline=_LIMIT, width=2)
        colour = _COLOURS[groups.index(bar.group) % len(_COLOURS)]
        pen.rectangle((left, y, end, y + _BAR), fill=colour)
        pen.text((left - 24, middle), bar.label, _INK, font, anchor="rm")
        pen.text((max(end, limit) + 16, middle), bar.text, _INK, font, anchor="lm")
        y += _STEP
    return picture
