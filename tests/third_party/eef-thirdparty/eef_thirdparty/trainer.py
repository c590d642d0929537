"""A trainer: a plain PyTorch loop."""

from eef_framework import TokenizedDataset, Trainer, TrainResult


class PlainTrainer(Trainer):
    """Adam with a constant learning rate."""

    name = "plain"

    steps: int = 20
    """Number of optimisation steps."""
    batch_size: int = 8
    """Examples per step."""
    learning_rate: float = 1e-3
    """Learning rate."""

    def train(self, examples, start, output, seed, progress):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(start.path)
        model = AutoModelForCausalLM.from_pretrained(start.path, dtype="float32")
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        data = TokenizedDataset.from_examples(examples, tokenizer)
        losses = []
        for batch in data.batches(self.batch_size, seed, steps=self.steps):
            logits = model(input_ids=batch.input_ids).logits  # (batch, seq, vocabulary)
            loss = batch.loss(logits)  # weighted mean of -log p over the agent's tokens
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            progress(len(losses), self.steps, f"loss {losses[-1]:.3f}")
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
        return TrainResult(losses=tuple(losses))
