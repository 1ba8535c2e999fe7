"""Handing a partner what it needs: the integration sheet, and links that show secrets once."""
