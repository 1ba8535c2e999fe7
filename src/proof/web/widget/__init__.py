"""What a partner's users see: the loader for partners' pages, and the hosted page behind it."""
