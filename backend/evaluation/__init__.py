"""How good generated videos are and how well they obey: metrics and what measures them."""
