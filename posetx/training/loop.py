"""The training loop: batches in, checkpoints out, resumable at any instant."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.data.sources import TOLD, PoseSource, make_stream
from posetx.data.stream import Batch, StreamSettings
from posetx.errors import PosetxError
from posetx.models.registry import Config, architecture_of, config_of
from posetx.models.shipped import section
from posetx.system.device import fast_bf16
from posetx.training import distributed
from posetx.training.adversarial import AdversarialSettings, Attacker, misaligned
from posetx.training.checkpoint import load_state, save_state, understood
from posetx.training.contrastive import TERMS
from posetx.training.learners import Learner, learner_of
from posetx.training.optimizer import COOL_DOWN, learning_rate_factor
from posetx.training.pose_side import known_identities, learn_pose_alone
from posetx.training.sound import NotFinite, Sound, finite
from posetx.training.watch import Watch


@dataclass
class TrainSettings:
    """How long and how fast. The schedule ends when either budget does."""

    minutes: float | None = None
    samples: int | None = None
    #: of all processes together
    batch: int = 192
    lr: float = 2e-3
    seed: int = 0
    precision: str = "auto"
    ema_decay: float = 0.998
    gradient_norm: float = 1.0
    checkpoint_minutes: float = 3.0
    #: None: clean training only
    adversarial: AdversarialSettings | None = None
    #: without ground truth, which only MAPConNet can
    unsupervised: bool = False
    #: by which contrastive losses it then learns
    contrastive: tuple[str, ...] = TERMS


#: progress is told at least so often, however slow a step is
REPORT_SECONDS = 2.0


@dataclass
class Progress:
    """What the caller's progress display is told after every few steps, of all processes."""

    samples: int
    minutes: float
    share: float
    samples_per_second: float
    terms: dict[str, float] = field(default_factory=dict)


class Trainer:
    """One training run in one folder; under torchrun, one process's part in it.

    An adversarial stage that follows a clean one, or another model's training, goes on from the
    averaged weights. In it only the pose's side learns (:mod:`posetx.training.pose_side`), and
    with ``unseen``, which gives poses that no training sees, the most robust weights are kept.

    Raises UsageError where the processes cannot share out the batch evenly.
    """

    def __init__(
        self,
        folder: Path,
        body: BodyModel,
        poses: PoseSource,
        settings: TrainSettings,
        model_config: Config,
        stream_settings: StreamSettings,
        device: torch.device,
        learner: Learner | None = None,
        unseen: Callable[[], PoseBank] | None = None,
    ):
        self.folder, self.settings, self.device = folder, settings, device
        self.learner = learner or learner_of(
            model_config, settings.unsupervised, settings.contrastive
        )
        self.processes = distributed.world()
        self.own_batch = distributed.own_share(settings.batch)
        torch.manual_seed(settings.seed)
        self.model = self.learner.network(model_config).to(device)
        self.model.begin_on(body)
        self.ema = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.stream = make_stream(body, poses, stream_settings, settings.seed)
        self.body, self.unseen = body, unseen
        self.optimizers = self.learner.optimizers(self.model, settings.lr)
        self.base_lr = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.samples = 0
        self.seconds = 0.0
        self.cooling = False
        self.attacker = Attacker(settings.adversarial) if settings.adversarial else None
        #: whether the adversarial stage has begun, if it is one of its own
        self.hardening = False
        self.watch: Watch | None = None
        #: whether the weights are no numbers any more; then the last checkpoint stays as it is
        self.broken = False
        #: what the weights learnt before this run: the ``training`` entries of their cards
        self.earlier: list[dict[str, Any]] = []
        bf16 = settings.precision == "bf16" or (settings.precision == "auto" and fast_bf16(device))
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def stable_checkpoint(self) -> Path:
        """The state before the learning rate fell: what a longer run goes on from."""
        return self.folder / "stable.pt"

    def start_from(self, weights: dict[str, Tensor], card: dict[str, Any]) -> int:
        """Begin with another model's ``weights`` wherever names and shapes agree.

        Returns how many tensors were taken. Raises PosetxError when none fits.
        """
        own = self.model.state_dict()
        fitting = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
        if not fitting:
            raise PosetxError("`init_from`: none of that model's weights fits this network")
        self.model.load_state_dict(fitting, strict=False)
        self.ema = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        earlier = card.get("earlier")
        self.earlier = [
            *(earlier if isinstance(earlier, list) else []),
            {**section(card, "training"), "sha256": card.get("sha256")},
        ]
        return len(fitting)

    @property
    def result(self) -> dict[str, Tensor]:
        """The weights to be exported: averaged, and of an adversarial stage the best ones."""
        return self.watch.weights if self.watch else self.ema

    def share_done(self) -> float:
        """Progress from 0 to 1 against whichever budget is further gone."""
        done = [0.0]
        if self.settings.minutes:
            done.append(self.seconds / 60 / self.settings.minutes)
        if self.settings.samples:
            done.append(self.samples / self.settings.samples)
        return max(done)

    def step(self) -> dict[str, Tensor]:
        """One optimisation step; returns the terms of this process's loss, on the device."""
        if self.processes > 1:
            seed = distributed.step_seed(self.settings.seed, self.samples)
            self.stream.generator.manual_seed(seed)
        attack, count = self._attack, self.own_batch
        batch = attack.of_step(self.stream, count) if attack else self.stream.draw(count)
        self.model.train()
        loss, terms = self._lesson(batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_norm)
        factor = learning_rate_factor(self.share_done())
        for optimizer, base in zip(self.optimizers, self.base_lr, strict=True):
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            optimizer.step()
        self._average()
        self.samples += self.settings.batch
        return terms

    @property
    def _attack(self) -> Attacker | None:
        """What makes this step adversarial, if it is."""
        attacker = self.attacker
        due = attacker and (self.hardening or self.share_done() >= attacker.settings.begin)
        return attacker if due else None

    def _lesson(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step and its terms."""
        attack, generator = self._attack, self.stream.generator
        if not attack:
            with self.autocast:
                return self.learner.objective(self.model, batch)
        settings = attack.settings
        if not self.hardening and (settings.begin or self.earlier):
            self._begin_hardening(settings)
        # contexts of their own: autocast keeps weights in bf16, in some without gradients
        with self.autocast:
            known = known_identities(self.model, batch) if self.hardening else None
        with self.autocast:
            hard = attack.attacked(self.model, batch, generator, known)
        with self.autocast:
            if known:
                loss, terms = self.learner.judged(known.output(hard.pose), hard)
            else:
                loss, terms = self.learner.objective(self.model, hard)
        if settings.alignment and settings.share:
            with self.autocast:
                apart = misaligned(self.model, batch, settings, generator, known)
            loss = loss + settings.alignment * apart
            terms["misalignment"] = apart.detach()
        return loss, terms

    def _begin_hardening(self, settings: AdversarialSettings) -> None:
        """Begin the adversarial stage; the first process watches what becomes of it."""
        self.hardening = True
        # what stands still from now on had better be the average than the last step's
        self.model.load_state_dict(self.ema)
        learn_pose_alone(self.model)
        self._begin_to_watch(settings)
        if self.watch:
            self.watch.look(self.ema, self.samples)

    def _begin_to_watch(self, settings: AdversarialSettings) -> None:
        if self.unseen is not None and distributed.first():
            stream, poses = self.stream.settings, self.unseen()
            self.watch = Watch(self.model, self.body, poses, stream, settings.epsilon)

    def run(
        self,
        on_progress: Callable[[Progress], None],
        report_steps: int = 20,
        minutes: float | None = None,
    ) -> None:
        """Train until a budget is used up, or for so many ``minutes`` if that is sooner.

        A last checkpoint is written on the way out.
        """
        pause = distributed.agreed(self.seconds + 60 * minutes) if minutes else math.inf
        sums: dict[str, Tensor] = {}
        steps, since, told = 0, time.monotonic(), self.seconds
        last_save = since
        good = self._sound() if self.samples else None
        try:
            while self.share_done() < 1 and self.seconds < pause:
                start = time.monotonic()
                for name, term in self.step().items():
                    sums[name] = sums.get(name, torch.zeros((), device=self.device)) + term
                steps += 1
                if steps == report_steps or self.seconds - told > REPORT_SECONDS:
                    totals = distributed.mean(torch.stack(list(sums.values()))).tolist()
                    means = {name: t / steps for name, t in zip(sums, totals, strict=True)}
                    good = self._still_sound(means, good)
                    now = time.monotonic()
                    rate = steps * self.settings.batch / (now - since)
                    if distributed.first():
                        done = self.share_done()
                        means |= self.watch.terms() if self.watch else {}
                        on_progress(Progress(self.samples, self.seconds / 60, done, rate, means))
                    sums, steps, since, told = {}, 0, now, self.seconds
                if self.watch and self.watch.due():
                    self.watch.look(self.ema, self.samples)
                self.seconds = distributed.agreed(self.seconds + time.monotonic() - start)
                if not self.cooling and self.share_done() > 1 - COOL_DOWN:
                    self.save(self.stable_checkpoint)
                    self.cooling = True
                if time.monotonic() - last_save > 60 * self.settings.checkpoint_minutes:
                    good = self._still_sound({}, good)
                    self.save()
                    last_save = time.monotonic()
            self._still_sound({}, good)
            if self.watch and self.share_done() >= 1:
                self.watch.look(self.ema, self.samples)
        finally:
            if not self.broken and finite(self.ema):
                self.save()

    def _sound(self) -> Sound:
        """What the weights are now, to go back to."""
        ema = {name: value.clone() for name, value in self.ema.items()}
        return Sound(ema, self.samples, self.seconds)

    def _still_sound(self, means: dict[str, float], good: Sound | None) -> Sound:
        """The state now, if the losses and weights are finite.

        Raises NotFinite where they are not, after going back to what was ``good``.
        """
        if finite(self.ema) and all(map(math.isfinite, means.values())):
            return self._sound()
        reached = self.samples
        if good is not None:
            self.ema, self.samples, self.seconds = good.ema, good.samples, good.seconds
        self.broken = True
        raise NotFinite(
            f"{self.folder}: after {reached} samples the weights are no finite numbers; train with "
            "a lower `lr`",
            good is not None,
        )

    def save(self, path: Path | None = None) -> None:
        """Everything that the run consists of, so that a resumed one goes on as if unbroken.

        Of several processes the first one writes: all hold the same, and ask nobody for more, so
        that a run that breaks off can still be saved.
        """
        if not distributed.first():
            return
        save_state(
            path or self.checkpoint,
            {
                "architecture": architecture_of(self.model.config),
                "model_config": asdict(self.model.config),
                "settings": asdict(self.settings),
                "stream": type(self.stream).__name__,
                "stream_settings": asdict(self.stream.settings),
                "model": self.model.state_dict(),
                "ema": self.ema,
                "optimizers": [o.state_dict() for o in self.optimizers],
                "stream_random": self.stream.generator.get_state(),
                "torch_random": torch.get_rng_state(),
                "samples": self.samples,
                "seconds": self.seconds,
                "cooling": self.cooling,
                "hardening": self.hardening,
                "watch": self.watch.state() if self.watch else None,
                "earlier": self.earlier,
            },
        )

    @classmethod
    def resumed(
        cls,
        folder: Path,
        body: BodyModel,
        poses: PoseSource,
        budget: TrainSettings,
        device: torch.device,
        unseen: Callable[[], PoseBank] | None = None,
    ) -> Trainer:
        """Continue a folder's run as if never stopped; from ``budget`` come minutes and samples.

        A run whose learning rate was already falling, and which is now given a larger budget,
        goes on from where the rate was still constant. Raises PosetxError without a checkpoint, or
        when it is of a run on other data than ``poses``: synthetic bodies or a folder of meshes.
        """
        state = load_state(folder / "checkpoint.pt", device)
        with understood(folder / "checkpoint.pt"):
            settings = TrainSettings(**state["settings"])
            if settings.adversarial is not None:
                settings.adversarial = AdversarialSettings(**state["settings"]["adversarial"])
            settings.minutes, settings.samples = budget.minutes, budget.samples
            settings.checkpoint_minutes = budget.checkpoint_minutes
            trainer = cls(
                folder,
                body,
                poses,
                settings,
                config_of(state.get("architecture", "PoseMAE"), state["model_config"]),
                StreamSettings(**state["stream_settings"]),
                device,
                unseen=unseen,
            )
            begun = state.get("stream", "BodyStream")
            if begun != type(trainer.stream).__name__:
                raise PosetxError(f"{folder}: this run was begun {TOLD[begun]}; resume it likewise")
            trainer._load(state)
            prolonged = trainer.share_done() < 1 - COOL_DOWN
            if state["cooling"] and prolonged and trainer.stable_checkpoint.is_file():
                trainer._load(load_state(trainer.stable_checkpoint, device))
            return trainer

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema = state["ema"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.stream.generator.set_state(state["stream_random"].cpu())
        torch.set_rng_state(state["torch_random"].cpu())
        self.samples, self.seconds = state["samples"], state["seconds"]
        self.earlier = state["earlier"]
        self.cooling = state["cooling"] and self.share_done() > 1 - COOL_DOWN
        # runs from before these were know neither
        self.hardening, watched = state.get("hardening", False), state.get("watch")
        learn_pose_alone(self.model, self.hardening)
        self.watch = None
        if watched and self.settings.adversarial:
            self._begin_to_watch(self.settings.adversarial)
        if watched and self.watch:
            self.watch.load_state(watched)

    @torch.no_grad()
    def _average(self) -> None:
        steps = self.samples / self.settings.batch
        decay = min(self.settings.ema_decay, (1 + steps) / (10 + steps))
        for name, value in self.model.state_dict().items():
            self.ema[name].lerp_(value, 1 - decay)
