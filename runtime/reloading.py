"""A configuration that changes while a process runs: read again on SIGHUP, or when its files have changed.

All or nothing: a file with a mistake changes nothing, and neither does one that cannot be put into force. What only a
new process can take up is kept as it was, and named in a warning.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from os import environ as _environ
from pathlib import Path

import structlog

from runtime.config import ConfigError, Loaded, load_with_files
from runtime.file_watch import FileWatch
from runtime.settings import Config
from runtime.settings.changes import changes, is_among, keeping

log = structlog.get_logger("farebox.reloading")

# Puts a configuration into force; raises ConfigError, and then has changed nothing.
Apply = Callable[[Config], Awaitable[None]]

# Of a file full of mistakes; `farebox check-config` says all of them.
_MAX_TOLD_CHARS = 2000


class Reloader:
    """`config`: what is in force. `fixed`: settings, or sections, that only a new process takes up; `ignored`: that are
    not this one's business."""

    def __init__(
        self,
        path: Path,
        loaded: Loaded[Config],
        apply: Apply,
        *,
        fixed: Collection[str],
        ignored: Collection[str] = (),
        environ: Mapping[str, str] = _environ,
    ) -> None:
        self.config = loaded.config
        self._path = path
        self._apply = apply
        self._fixed = fixed
        self._ignored = ignored
        self._environ = environ
        self._watch = FileWatch(loaded.files)

    async def run(self, asked: asyncio.Event) -> None:
        """For ever. Setting `asked` is as good as a change of the files, and is not made to wait."""
        while True:
            if await self._is_asked(asked):
                asked.clear()
                await self.reload()
            elif await asyncio.to_thread(self._watch.look):
                await self.reload()

    async def reload(self) -> None:
        """Never raises: what is in force stays in force."""
        await asyncio.to_thread(self._watch.take)
        try:
            loaded = await asyncio.to_thread(load_with_files, Config, self._path, self._environ)
            await self._change_to(loaded.config)
        except ConfigError as error:
            log.error("config_not_reloaded", path=str(self._path), reason="; ".join(error.problems)[:_MAX_TOLD_CHARS])
        except Exception as error:
            log.error("config_not_reloaded", path=str(self._path), exc_info=error)
        else:
            await asyncio.to_thread(self._watch.take, loaded.files)

    async def _change_to(self, wanted: Config) -> None:
        differing = [name for name in changes(self.config, wanted) if not is_among(name, self._ignored)]
        waiting = [name for name in differing if is_among(name, self._fixed)]
        changed = [name for name in differing if name not in waiting]
        if changed:
            config = keeping(self.config, wanted, self._fixed)
            await self._apply(config)
            self.config = config
            log.info("config_reloaded", settings=", ".join(changed))
        if waiting:
            log.warning("config_needs_restart", settings=", ".join(waiting))
        if not differing:
            log.info("config_unchanged")

    async def _is_asked(self, asked: asyncio.Event) -> bool:
        """Or has it become time to look at the files?"""
        interval_s = self.config.reload.interval_s
        try:
            async with asyncio.timeout(interval_s or None):
                await asked.wait()
        except TimeoutError:
            return False
        return True
