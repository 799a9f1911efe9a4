"""The whole product on one machine: engines found or fetched, processes started, watched and ended.

Imports nothing of Django's, so that it can set the environment the other processes read.
"""
