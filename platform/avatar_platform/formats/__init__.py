"""How the admin writes dates and times, where Django's own way of the language is not ours."""
