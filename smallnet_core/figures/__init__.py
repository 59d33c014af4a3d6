"""The paper's figures redrawn, and our own, as SVG: ``python -m smallnet_core.figures OUT_DIR``.

They are drawn with matplotlib, the extra ``figures``, which is imported only then.
"""
