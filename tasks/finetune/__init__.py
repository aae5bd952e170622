"""Fine-tuning on references: freeze, train, judge, promote on evidence or explain why not."""
