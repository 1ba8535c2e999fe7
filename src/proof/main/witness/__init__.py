"""The process of `proof witness serve`."""
