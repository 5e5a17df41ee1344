/* A microphone for machines without one: an ALSA plug-in that plays a raw file into a room that never stops.
 *
 *   gcc -O2 -Wall -Wextra -shared -fPIC -DPIC -o libasound_module_pcm_edged.so virtual_microphone.c -lasound
 *
 * What it promises (edged/testkit/virtual_microphone.py writes its configuration and orders its faults):
 * - Paced by CLOCK_MONOTONIC and bit exact. The room's clock starts with the first capture and goes on while nobody
 *   listens, also from one process to the next: sample n of the file sounds n / rate seconds after that start.
 * - A reader that is late by more than the buffer gets an overrun, as from a card.
 * - After the file's end comes faint noise (`after noise`), exact zeros (`zeros`), or the file again (`loop`).
 * - `control` is a file that holds one word: `unplug` (dead until closed, and not to be opened while the word stands),
 *   `busy`, `eio`, `stall` (nothing arrives), `overrun` (once; the file is removed then), `epipe` (overruns without
 *   end), `mute` (exact zeros), `hang` and `dead` (as `stall` and `mute`, but for what is opened meanwhile), or two:
 *   `refuse` and the errno with which it can't be opened. With "" none is looked for: that would cost whoever asks the
 *   card more often than others.
 * - `pace` is how many frames a second it really gives, where that is not the rate that it promises.
 * - `state` is a file that holds the room's start in nanoseconds of CLOCK_MONOTONIC, and the samples (of one channel)
 *   that were delivered up to, are played up to, and have come in one piece since.
 * - `ctl` of the same type is a mixer; the file `mixer` holds its controls, a line each: value, index and name. Those
 *   whose names end in `Switch` are switches, the others go from 0 to 100.
 */
#include <alsa/asoundlib.h>
#include <alsa/control_external.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ULL

enum after { NOISE, ZEROS, LOOP };
enum order { NOTHING, UNPLUG, BUSY, EIO_, STALL, OVERRUN, MUTE, EPIPE_, HANG, DEAD };

struct microphone {
	snd_pcm_ioplug_t io;
	char *control, *state;
	int audio;            /* the raw file, or -1 */
	uint64_t file_frames; /* its length */
	int timer;            /* ticks once a period: what a reader polls */
	int gone;             /* was unplugged: dead until closed */
	enum after after;
	unsigned pace;        /* frames a second, really */
	enum order spared;    /* `hang` or `dead`, if that was ordered before it was opened */
	size_t frame_bytes;
	uint64_t start_ns;    /* when frame 0 of this run of the stream was captured */
	uint64_t base;        /* its frame in the room */
	uint64_t filled;      /* frames put into the ring since */
	uint64_t since;       /* the room's frame from which on all came in one piece */
	uint64_t stalled_ns;  /* since when nothing arrives, or 0 */
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t frames_in(const struct microphone *m, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * m->pace / NS);
}

#define ORDER_BYTES 16

static void read_order(const struct microphone *m, char text[ORDER_BYTES])
{
	int fd = *m->control ? open(m->control, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? 0 : read(fd, text, ORDER_BYTES - 1);
	text[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

static enum order ordered(const struct microphone *m)
{
	static const char *const words[] = {"", "unplug", "busy", "eio", "stall", "overrun", "mute", "epipe", "hang", "dead"};
	char text[ORDER_BYTES];
	read_order(m, text);
	enum order o = DEAD;
	while (o && strcmp(text, words[o]))
		o--;
	if (o == HANG || o == DEAD)
		return o == m->spared ? NOTHING : o == HANG ? STALL : MUTE;
	return o;
}

/* 0, or the error with which it can't be opened. */
static int refusal(const struct microphone *m)
{
	char text[ORDER_BYTES];
	int number;
	read_order(m, text);
	if (!strcmp(text, "unplug"))
		return -ENODEV;
	if (!strcmp(text, "busy"))
		return -EBUSY;
	return sscanf(text, "refuse %d", &number) == 1 ? -number : 0;
}

/* 0, or the error that a card in this condition gives. */
static int condition(struct microphone *m, enum order o)
{
	if (o == UNPLUG && !m->gone) {
		m->gone = 1;
		snd_pcm_ioplug_set_state(&m->io, SND_PCM_STATE_DISCONNECTED);
	}
	return m->gone ? -ENODEV : o == EIO_ ? -EIO : 0;
}

/* A tick whenever a period is complete; rounded up, so that none comes before. */
static int tick(struct microphone *m)
{
	uint64_t each = (m->io.period_size * NS + m->pace - 1) / m->pace, first = m->start_ns + each;
	struct itimerspec times = {{(time_t)(each / NS), (long)(each % NS)}, {(time_t)(first / NS), (long)(first % NS)}};
	return timerfd_settime(m->timer, TFD_TIMER_ABSTIME, &times, NULL) < 0 ? -errno : 0;
}

/* While stalled, the card's clock stands; the room's goes on. */
static void stall(struct microphone *m, int on)
{
	uint64_t now = now_ns();
	if (on && !m->stalled_ns) {
		m->stalled_ns = now;
	} else if (!on && m->stalled_ns) {
		uint64_t stood = now - m->stalled_ns;
		m->start_ns += stood;
		m->base += frames_in(m, stood);
		m->since = m->base + m->filled;
		m->stalled_ns = 0;
		tick(m);
	}
}

/* Frames since the start, in whole periods, as many cards report it. */
static uint64_t arrived(const struct microphone *m)
{
	uint64_t frames = frames_in(m, (m->stalled_ns ? m->stalled_ns : now_ns()) - m->start_ns);
	return frames - frames % m->io.period_size;
}

static uint64_t room_start_ns(struct microphone *m)
{
	char text[64] = "";
	int fd = m->state ? open(m->state, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		if (n > 0)
			return strtoull(text, NULL, 10);
	}
	return 0;
}

static void note(struct microphone *m, uint64_t room_ns)
{
	char text[96];
	int fd = m->state ? open(m->state, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
	if (fd < 0)
		return;
	int n = snprintf(text, sizeof text, "%020llu %020llu %020llu %020llu\n", (unsigned long long)room_ns,
			 (unsigned long long)(m->base + m->io.appl_ptr), (unsigned long long)(m->base + arrived(m)),
			 (unsigned long long)m->since);
	if (pwrite(fd, text, (size_t)n, 0) != n)
		SNDERR("virtual microphone: can't write %s", m->state);
	close(fd);
}

static int on_start(snd_pcm_ioplug_t *io)
{
	struct microphone *m = io->private_data;
	int error = condition(m, ordered(m));
	if (error)
		return error;
	uint64_t now = now_ns(), room = room_start_ns(m);
	if (!room)
		room = now;
	m->start_ns = now;
	m->base = m->since = frames_in(m, now - room);
	m->filled = 0;
	m->stalled_ns = 0;
	note(m, room);
	return tick(m);
}

static int on_stop(snd_pcm_ioplug_t *io)
{
	struct microphone *m = io->private_data;
	struct itimerspec never = {{0, 0}, {0, 0}};
	return timerfd_settime(m->timer, 0, &never, NULL) < 0 ? -errno : 0;
}

/* Noise of 2 to 3 bits, of the sample's index alone: never exact zeros, and the same for every reader. */
static int faint(uint64_t index)
{
	uint64_t x = (index + 1) * 0x9E3779B97F4A7C15ULL;
	x ^= x >> 29;
	x *= 0xBF58476D1CE4E5B9ULL;
	return (int)(x >> 61) - 4 + (int)((x >> 40) & 1);
}

static void fill(struct microphone *m, char *to, uint64_t frame, uint64_t count)
{
	while (count) {
		uint64_t at = m->after == LOOP && m->file_frames ? frame % m->file_frames : frame;
		uint64_t some = at < m->file_frames ? m->file_frames - at : 0;
		if (some > count)
			some = count;
		if (some) {
			ssize_t n = pread(m->audio, to, some * m->frame_bytes, (off_t)(at * m->frame_bytes));
			if (n < (ssize_t)m->frame_bytes) {
				m->file_frames = at; /* the file became shorter, or can't be read */
				continue;
			}
			some = (uint64_t)n / m->frame_bytes;
			to += some * m->frame_bytes;
			frame += some;
			count -= some;
			continue;
		}
		memset(to, 0, count * m->frame_bytes);
		for (uint64_t i = 0; m->after == NOISE && i < count * m->io.channels; i++) {
			int level = faint(frame * m->io.channels + i);
			if (m->io.format == SND_PCM_FORMAT_S32_LE)
				((int32_t *)to)[i] = level * 65536;
			else
				((int16_t *)to)[i] = (int16_t)level;
		}
		return;
	}
}

/* Puts what has arrived into the ring, where the reader finds it. */
static void advance(struct microphone *m, uint64_t to, enum order o)
{
	const snd_pcm_channel_area_t *area = snd_pcm_ioplug_mmap_areas(&m->io);
	while (m->filled < to) {
		uint64_t at = m->filled % m->io.buffer_size, some = m->io.buffer_size - at;
		if (some > to - m->filled)
			some = to - m->filled;
		char *ring = (char *)area->addr + at * m->frame_bytes;
		if (o == MUTE)
			memset(ring, 0, some * m->frame_bytes);
		else
			fill(m, ring, m->base + m->filled, some);
		m->filled += some;
		note(m, room_start_ns(m));
	}
}

static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io)
{
	struct microphone *m = io->private_data;
	enum order o = ordered(m);
	int error = condition(m, o);
	if (error)
		return error;
	if (o == OVERRUN)
		unlink(m->control);
	if (o == OVERRUN || o == EPIPE_)
		return -EPIPE;
	stall(m, o == STALL);
	uint64_t n = arrived(m);
	if (n - io->appl_ptr >= io->buffer_size)
		return -EPIPE;
	advance(m, n, o);
	return (snd_pcm_sframes_t)(n % io->buffer_size);
}

static int on_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned count, unsigned short *revents)
{
	struct microphone *m = io->private_data;
	uint64_t ticks;
	(void)count;
	*revents = 0;
	if (fds[0].revents & POLLIN && read(m->timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
		return -errno;
	enum order o = ordered(m);
	int failed = condition(m, o);
	if (o == OVERRUN)
		unlink(m->control);
	if (o == OVERRUN || o == EPIPE_) {
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_XRUN);
		failed = 1;
	}
	if (failed) {
		*revents = POLLIN | POLLERR;
		return 0;
	}
	stall(m, o == STALL);
	if (arrived(m) - io->appl_ptr >= io->period_size)
		*revents = POLLIN;
	return 0;
}

static int on_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
	struct microphone *m = io->private_data;
	off_t bytes = m->audio < 0 ? 0 : lseek(m->audio, 0, SEEK_END);
	(void)params;
	m->frame_bytes = (size_t)snd_pcm_format_physical_width(io->format) / 8 * io->channels;
	m->file_frames = bytes > 0 ? (uint64_t)bytes / m->frame_bytes : 0;
	return 0;
}

static void release(struct microphone *m)
{
	if (m->timer >= 0)
		close(m->timer);
	if (m->audio >= 0)
		close(m->audio);
	free(m->control);
	free(m->state);
	free(m);
}

static int on_close(snd_pcm_ioplug_t *io)
{
	release(io->private_data);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = on_start,
	.stop = on_stop,
	.pointer = on_pointer,
	.poll_revents = on_revents,
	.hw_params = on_hw_params,
	.close = on_close,
};

static int constrain(struct microphone *m, unsigned format, unsigned rate, unsigned channels)
{
	unsigned access[] = {SND_PCM_ACCESS_MMAP_INTERLEAVED, SND_PCM_ACCESS_RW_INTERLEAVED};
	struct {
		int what;
		unsigned least, most;
	} range[] = {
		{SND_PCM_IOPLUG_HW_CHANNELS, channels, channels},
		{SND_PCM_IOPLUG_HW_RATE, rate, rate},
		{SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 1 << 20},
		{SND_PCM_IOPLUG_HW_BUFFER_BYTES, 128, 1 << 23},
		{SND_PCM_IOPLUG_HW_PERIODS, 2, 1024},
	};
	int error = snd_pcm_ioplug_set_param_list(&m->io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
	if (!error)
		error = snd_pcm_ioplug_set_param_list(&m->io, SND_PCM_IOPLUG_HW_FORMAT, 1, &format);
	for (size_t i = 0; !error && i < sizeof range / sizeof *range; i++)
		error = snd_pcm_ioplug_set_param_minmax(&m->io, range[i].what, range[i].least, range[i].most);
	return error;
}

/* The value of a text or number field of the definition, or what is given. */
static const char *text_of(snd_config_t *conf, const char *field, const char *otherwise)
{
	snd_config_t *node;
	const char *text;
	return !snd_config_search(conf, field, &node) && !snd_config_get_string(node, &text) ? text : otherwise;
}

static unsigned number_of(snd_config_t *conf, const char *field, unsigned otherwise)
{
	snd_config_t *node;
	long number;
	return !snd_config_search(conf, field, &node) && !snd_config_get_integer(node, &number) ? (unsigned)number
												: otherwise;
}

SND_PCM_PLUGIN_DEFINE_FUNC(edged)
{
	(void)root;
	const char *file = text_of(conf, "file", NULL), *state = text_of(conf, "state", NULL);
	const char *after = text_of(conf, "after", "noise");
	snd_pcm_format_t format = snd_pcm_format_value(text_of(conf, "format", "S16_LE"));
	if (stream != SND_PCM_STREAM_CAPTURE || format == SND_PCM_FORMAT_UNKNOWN)
		return -EINVAL;
	struct microphone *m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	m->audio = m->timer = -1;
	m->control = strdup(text_of(conf, "control", "/dev/null"));
	m->state = state ? strdup(state) : NULL;
	char order[ORDER_BYTES];
	read_order(m, order);
	m->spared = !strcmp(order, "hang") ? HANG : !strcmp(order, "dead") ? DEAD : NOTHING;
	m->pace = number_of(conf, "pace", number_of(conf, "rate", 16000));
	m->after = !strcmp(after, "zeros") ? ZEROS : !strcmp(after, "loop") ? LOOP : NOISE;
	int error = refusal(m);
	if (error)
		; /* as ordered */
	else if (file && (m->audio = open(file, O_RDONLY | O_CLOEXEC)) < 0)
		error = -errno;
	else if ((m->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0)
		error = -errno;
	if (error) {
		release(m);
		return error;
	}
	m->io.version = SND_PCM_IOPLUG_VERSION;
	m->io.name = "virtual microphone";
	m->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC;
	m->io.callback = &callbacks;
	m->io.private_data = m;
	m->io.poll_fd = m->timer;
	m->io.poll_events = POLLIN;
	m->io.mmap_rw = 1; /* converters in front of it read from the ring itself */
	if ((error = snd_pcm_ioplug_create(&m->io, name, stream, mode)) < 0) {
		release(m);
		return error;
	}
	error = constrain(m, (unsigned)format, number_of(conf, "rate", 16000), number_of(conf, "channels", 1));
	if (error) {
		snd_pcm_ioplug_delete(&m->io); /* closes, and so releases */
		return error;
	}
	*pcmp = m->io.pcm;
	return 0;
}
SND_PCM_PLUGIN_SYMBOL(edged);

/* The mixer. */

#define MOST_CONTROLS 16

struct control {
	long value;
	unsigned index;
	char name[60];
};

struct mixer {
	snd_ctl_ext_t ext;
	char *path;
	unsigned count;
	struct control controls[MOST_CONTROLS];
};

static const struct control *control_of(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key)
{
	return &((struct mixer *)ext->private_data)->controls[key];
}

static int is_switch(const struct control *c)
{
	size_t length = strlen(c->name);
	return length >= 6 && !strcmp(c->name + length - 6, "Switch");
}

static int elem_count(snd_ctl_ext_t *ext)
{
	return (int)((struct mixer *)ext->private_data)->count;
}

static int elem_list(snd_ctl_ext_t *ext, unsigned offset, snd_ctl_elem_id_t *id)
{
	snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
	snd_ctl_elem_id_set_name(id, control_of(ext, offset)->name);
	snd_ctl_elem_id_set_index(id, control_of(ext, offset)->index);
	return 0;
}

static snd_ctl_ext_key_t find_elem(snd_ctl_ext_t *ext, const snd_ctl_elem_id_t *id)
{
	for (snd_ctl_ext_key_t key = 0; key < ((struct mixer *)ext->private_data)->count; key++)
		if (!strcmp(snd_ctl_elem_id_get_name(id), control_of(ext, key)->name) &&
		    snd_ctl_elem_id_get_index(id) == control_of(ext, key)->index)
			return key;
	return SND_CTL_EXT_KEY_NOT_FOUND;
}

static int get_attribute(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int *type, unsigned *access, unsigned *count)
{
	*type = is_switch(control_of(ext, key)) ? SND_CTL_ELEM_TYPE_BOOLEAN : SND_CTL_ELEM_TYPE_INTEGER;
	*access = SND_CTL_EXT_ACCESS_READWRITE;
	*count = 1;
	return 0;
}

static int get_integer_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *least, long *most, long *step)
{
	*least = 0;
	*most = is_switch(control_of(ext, key)) ? 1 : 100;
	*step = 1;
	return 0;
}

static int read_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
	*value = control_of(ext, key)->value;
	return 0;
}

static int write_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
	struct mixer *m = ext->private_data;
	if (m->controls[key].value == *value)
		return 0;
	m->controls[key].value = *value;
	FILE *file = fopen(m->path, "we");
	if (!file)
		return -errno;
	for (const struct control *c = m->controls; c < m->controls + m->count; c++)
		fprintf(file, "%ld %u %s\n", c->value, c->index, c->name);
	return fclose(file) ? -errno : 1;
}

static int read_event(snd_ctl_ext_t *ext, snd_ctl_elem_id_t *id, unsigned *mask)
{
	(void)ext, (void)id, (void)mask;
	return -EAGAIN;
}

static void close_mixer(snd_ctl_ext_t *ext)
{
	struct mixer *m = ext->private_data;
	free(m->path);
	free(m);
}

static const snd_ctl_ext_callback_t mixer_callbacks = {
	.close = close_mixer,
	.elem_count = elem_count,
	.elem_list = elem_list,
	.find_elem = find_elem,
	.get_attribute = get_attribute,
	.get_integer_info = get_integer_info,
	.read_integer = read_integer,
	.write_integer = write_integer,
	.read_event = read_event,
};

SND_CTL_PLUGIN_DEFINE_FUNC(edged)
{
	(void)root;
	const char *path = text_of(conf, "mixer", NULL);
	FILE *file = path ? fopen(path, "re") : NULL;
	if (!file)
		return -ENOENT; /* a microphone without a mixer */
	struct mixer *m = calloc(1, sizeof *m);
	for (struct control *c = m ? m->controls : NULL; c && m->count < MOST_CONTROLS; c++, m->count++)
		if (fscanf(file, "%ld %u %59[^\n]", &c->value, &c->index, c->name) != 3)
			break;
	fclose(file);
	if (!m)
		return -ENOMEM;
	m->path = strdup(path);
	m->ext.version = SND_CTL_EXT_VERSION;
	m->ext.card_idx = 0;
	strcpy(m->ext.id, "virtual");
	strcpy(m->ext.driver, "edged");
	strcpy(m->ext.name, "virtual microphone");
	strcpy(m->ext.longname, "virtual microphone");
	strcpy(m->ext.mixername, "virtual microphone");
	m->ext.poll_fd = -1;
	m->ext.callback = &mixer_callbacks;
	m->ext.private_data = m;
	int error = snd_ctl_ext_create(&m->ext, name, mode);
	if (error < 0) {
		free(m->path);
		free(m);
		return error;
	}
	*handlep = m->ext.handle;
	return 0;
}
SND_CTL_PLUGIN_SYMBOL(edged);
