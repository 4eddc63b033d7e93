"""Runs made again: verdict, replay, shrink, bisect."""
