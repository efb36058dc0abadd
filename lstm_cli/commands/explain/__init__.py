"""`lstm-step explain`: a step worked out, the glossary, and exercises."""
