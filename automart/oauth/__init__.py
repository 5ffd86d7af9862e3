"""OAuth 2: the authorization server, tokens, signing keys and the login page."""
