"""Voice templates: what is said. Gives `rendering` what it needs, and its findings a place."""

from __future__ import annotations

from collections.abc import Mapping

from adapter.config.draft import Draft
from adapter.config.problems import Path
from adapter.config.schema import VoiceTemplateSection
from adapter.rendering.linting import DEFAULT_PARAM_LENGTH, TemplateProblem, lint
from adapter.rendering.templates import VoiceTemplate, compile_template


def build_voice_templates(
    sections: Mapping[str, VoiceTemplateSection], draft: Draft
) -> dict[str, VoiceTemplate]:
    """Return the voice templates by name, without those that are wrong."""
    templates = {}
    for name, section in sections.items():
        path: Path = ("voice_templates", name)
        length = section.max_param_length or DEFAULT_PARAM_LENGTH
        text, params = section.text or "", section.params or ()
        problems = lint(text=text, params=params, max_param_length=length)
        for problem in problems:
            _place(problem, path, draft)
        if section.text is None:
            hint = "add it: for the preview, and to check the number of params"
            draft.warning(path, "a voice template without its text", hint=hint)
        if not problems:
            templates[name] = compile_template(
                name=name,
                template_id=section.id,
                text=text,
                params=params,
                max_param_length=length,
                language=section.language,
            )
    return templates


def _place(problem: TemplateProblem, path: Path, draft: Draft) -> None:
    where: Path = ("text",) if problem.param is None else ("params", problem.param)
    line = f" in line {problem.line}" if problem.line > 1 else ""
    draft.problem((*path, *where), f"{problem.found}{line}", problem.expected, problem.hint)
