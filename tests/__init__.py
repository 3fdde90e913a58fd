"""Tests of Model Control Panel; the folders mirror the rooms of mcp_core."""
