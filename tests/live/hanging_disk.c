/* A disk that hangs: as long as the file $HANG is there, what waits for the disk waits. For LD_PRELOAD. */
#include <stdlib.h>
#include <unistd.h>

static int hang(void)
{
    const char *path = getenv("HANG");
    while (path && access(path, F_OK) == 0)
        usleep(10000);
    return 0;
}

int fsync(int fd) { return hang(); }
int fdatasync(int fd) { return hang(); }
