"""Acme's blocks and serializers for Entrepot."""
