"""Recognises copies: article -> fingerprint, and fingerprint and neighbours -> verdict. Pure."""
