/*
 * Replays seeds: gives every file named, and every file of a directory named, to the fuzz target it
 * is linked with, once each. Without a file it fails: a target without seeds is tested by nobody.
 * Called by `make check` for each target; libFuzzer takes its place in `make fuzz`.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fail(const char *path)
{
	perror(path);
	exit(1);
}

static int replay_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1); /* of just this size: an overrun shows */
	FILE *f = fopen(path, "rb");

	if (!f || !data || fread(data, 1, size, f) != size)
		fail(path);
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 1;
}

static int replay(const char *path);

static int replay_directory(const char *path)
{
	char inner[4096];
	int n = 0;
	DIR *d = opendir(path);

	if (!d)
		fail(path);
	for (struct dirent *e; (e = readdir(d));) {
		snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.')
			n += replay(inner);
	}
	closedir(d);
	return n;
}

/* The number of files replayed. */
static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		fail(path);
	return S_ISDIR(st.st_mode) ? replay_directory(path) : replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%d files replayed\n", n);
	return n ? 0 : 1;
}
