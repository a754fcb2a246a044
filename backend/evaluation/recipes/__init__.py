"""The papers' tables as runs: engines and folders of videos -> videos -> scores -> tables."""
