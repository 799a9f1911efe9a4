"""What can hold a conversation: Gemini, an OpenAI-compatible model, or the offline pipeline."""
