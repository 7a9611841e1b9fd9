// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/frames.h"

int frames__show(struct code_cache *codes, const struct stack *s,
		 const struct code *code[PY_MAX_FRAMES], struct arena *arena, struct py_frame **out,
		 const char **note)
{
	int line, err = code_cache__load(codes, s, code);

	*out = NULL;
	if (err || !s->cnt)
		return err;
	*out = arena__alloc(arena, s->cnt * sizeof(**out));
	for (size_t i = 0; *out && i < s->cnt; i++) {
		struct py_frame *f = &(*out)[i];

		*f = (struct py_frame){ .file = "?", .name = "?", .addr = s->frame[i].addr };
		if (!code[i]) {
			*note = "incomplete: a frame has no code object";
			continue;
		}
		line = code__line(codes, code[i], s->frame[i].instr);
		f->file = arena__str(arena, code[i]->file);
		f->name = arena__str(arena, code[i]->name);
		f->line = line > 0 ? line : 0;
	}
	return 0;
}
