"""What an SVG figure shows and says."""

from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    """The visible texts."""
    return [found.text or "" for found in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def said(svg: str) -> str:
    """What screen readers say after the title."""
    return ElementTree.fromstring(svg).findtext(f"{SVG}desc") or ""


def lines(svg: str, colour: str) -> list[str]:
    """The lines of this colour inside the panels."""
    return [
        found.attrib["d"]
        for found in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "clip-path" in found.attrib and f"stroke: {colour}" in found.attrib["style"]
    ]
