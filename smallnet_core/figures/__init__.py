"""The paper's figures redrawn, and our own, as SVG: ``python -m smallnet_core.figures OUT_DIR``.

matplotlib, which draws them, is the extra ``figures``; nothing here needs it until then.
"""
