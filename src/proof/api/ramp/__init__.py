"""/widget and what belongs to it: sessions, callbacks, the sandbox, the widget's own calls."""
