"""Settings: one default file that is also the documentation, and the environment over it."""

from proof.config.settings import Settings, SettingsError, load_settings

__all__ = ["Settings", "SettingsError", "load_settings"]
