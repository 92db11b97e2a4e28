/*
 * A link between two network namespaces, for kernels without netem: two TUN interfaces, and between them a rate, a delay
 * and random losses. The kernel's own TCP runs over it. Each direction is a queue with a tail drop, then the delay.
 *
 * As with a network card, the kernel hands over several segments of a connection at once (TSO), which saves most of the
 * work. Rate, queue and loss apply to each segment as a packet of its own.
 *
 * Usage: link NAMESPACE ADDRESS/BITS NAMESPACE ADDRESS/BITS BITS_PER_SECOND ROUND_TRIP_MS LOSS SEED
 * Prints "ready" when both interfaces are up, and the counts of packets at SIGTERM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MTU 1500
#define MAX_PACKET 65536
#define NANOSECONDS 1000000000LL
/* A timer for each packet would take more of a core than the packets do. */
#define TICK_NS 100000LL

/* Several segments of one connection, or one packet. */
struct packet {
  int64_t due;
  /* Of the content with its virtio header, which follows. */
  uint32_t length;
};

struct direction {
  int from, to;
  /* A ring of packets that are in the queue or under way. */
  uint8_t *ring;
  size_t capacity, head, tail, used;
  /* When the last packet in the queue has left it. */
  int64_t free_at;
  uint64_t random;
  uint64_t carried, lost, dropped;
};

static double bits_per_second;
static int64_t delay_ns, queue_ns;
static double loss;
static volatile sig_atomic_t is_over;

static void fail(const char *what) {
  fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void end(int signal) {
  (void)signal;
  is_over = 1;
}

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * NANOSECONDS + time.tv_nsec;
}

/* xorshift64*: https://en.wikipedia.org/wiki/Xorshift */
static double next_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (double)((*state * 2685821657736338717ULL) >> 11) / 9007199254740992.0;
}

static int open_interface(const char *name_of_namespace, const char *address) {
  char path[128], command[512];
  snprintf(path, sizeof path, "/var/run/netns/%s", name_of_namespace);
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0) fail(path);
  close(namespace);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, "link0", IFNAMSIZ - 1);
  if (ioctl(tun, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) fail("TUNSETOFFLOAD");
  /* The queue of the interface must not drop what the link would carry. */
  snprintf(command, sizeof command,
           "ip addr add %s dev link0 && ip link set link0 mtu %d txqueuelen 100000 up && ip link set lo up", address,
           MTU);
  if (system(command) != 0) fail(command);
  return tun;
}

static uint32_t sum_of(const uint8_t *data, int length) {
  uint32_t sum = 0;
  for (int index = 0; index < length; index += 2) sum += (uint32_t)(data[index] << 8 | data[index + 1]);
  return sum;
}

static uint16_t folded(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

static void put16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Room for a packet in the ring, or NULL. A packet is never split at the end of the ring. */
static struct packet *room(struct direction *way, size_t length) {
  size_t size = (sizeof(struct packet) + length + 15) & ~(size_t)15;
  size_t skipped = way->tail + size > way->capacity ? way->capacity - way->tail : 0;
  if (way->used + skipped + size > way->capacity) return NULL;
  if (skipped > 0) {
    if (skipped >= sizeof(struct packet)) ((struct packet *)(way->ring + way->tail))->length = 0;
    way->tail = 0;
    way->used += skipped;
  }
  struct packet *packet = (struct packet *)(way->ring + way->tail);
  packet->length = (uint32_t)length;
  way->tail = (way->tail + size) % way->capacity;
  way->used += size;
  return packet;
}

/* The packet that is due first, or NULL. */
static struct packet *first(struct direction *way) {
  if (way->used == 0) return NULL;
  struct packet *packet = (struct packet *)(way->ring + way->head);
  size_t left = way->capacity - way->head;
  if (left < sizeof(struct packet) || packet->length == 0) {
    way->used -= left;
    way->head = 0;
    packet = (struct packet *)way->ring;
  }
  return packet;
}

static void drop_first(struct direction *way, const struct packet *packet) {
  size_t size = (sizeof(struct packet) + packet->length + 15) & ~(size_t)15;
  way->head = (way->head + size) % way->capacity;
  way->used -= size;
}

/* What the kernel handed over: `count` segments with `payload` bytes of data, `segment` in each. */
struct segments {
  const uint8_t *content;
  uint32_t header, payload, segment, count;
};

/* Sends some of the segments on their way as one packet. */
static void carry(struct direction *way, const struct segments *all, uint32_t from, uint32_t to) {
  uint32_t start = from * all->segment;
  uint32_t bytes = (to == all->count ? all->payload : to * all->segment) - start;
  const uint8_t *ip = all->content + sizeof(struct virtio_net_hdr);
  size_t length = sizeof(struct virtio_net_hdr) + all->header + bytes;
  struct packet *packet = room(way, length);
  if (packet == NULL) {
    way->dropped += to - from;
    return;
  }
  packet->due = way->free_at + delay_ns;
  way->carried += to - from;
  uint8_t *made = (uint8_t *)(packet + 1);
  memcpy(made, all->content, sizeof(struct virtio_net_hdr) + all->header);
  memcpy(made + sizeof(struct virtio_net_hdr) + all->header, ip + all->header + start, bytes);
  if (to - from == all->count) return;
  struct virtio_net_hdr *virtio = (struct virtio_net_hdr *)made;
  if (to - from == 1) virtio->gso_type = VIRTIO_NET_HDR_GSO_NONE;
  made += sizeof(struct virtio_net_hdr);
  int ip_header = (made[0] & 15) * 4;
  uint8_t *tcp = made + ip_header;
  put16(made + 2, (uint16_t)(all->header + bytes));
  put16(made + 4, (uint16_t)((made[4] << 8 | made[5]) + (int)from));
  put16(made + 10, 0);
  put16(made + 10, (uint16_t)~folded(sum_of(made, ip_header)));
  uint32_t sequence = get32(tcp + 4) + start;
  put16(tcp + 4, (uint16_t)(sequence >> 16));
  put16(tcp + 6, (uint16_t)sequence);
  /* FIN and PSH belong to the last segment. */
  if (to != all->count) tcp[13] &= (uint8_t)~0x09;
  /* The checksum so far is of addresses, protocol and length; the kernel adds the rest. */
  put16(tcp + 16, folded(sum_of(made + 12, 8) + 6 + all->header - (uint32_t)ip_header + bytes));
}

/* Takes packets from an interface into the queue. */
static void take(struct direction *way, int64_t now) {
  static uint8_t content[sizeof(struct virtio_net_hdr) + MAX_PACKET];
  for (;;) {
    ssize_t length = read(way->from, content, sizeof content);
    if (length <= (ssize_t)sizeof(struct virtio_net_hdr)) return;
    const struct virtio_net_hdr *virtio = (const struct virtio_net_hdr *)content;
    const uint8_t *ip = content + sizeof(struct virtio_net_hdr);
    struct segments all = {.content = content, .count = 1};
    if (virtio->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
      uint32_t ip_header = (uint32_t)(ip[0] & 15) * 4;
      all.header = ip_header + (uint32_t)(ip[ip_header + 12] >> 4) * 4;
      all.segment = virtio->gso_size;
    }
    all.payload = (uint32_t)length - (uint32_t)sizeof(struct virtio_net_hdr) - all.header;
    if (all.segment > 0) all.count = (all.payload + all.segment - 1) / all.segment;
    else all.segment = all.payload;
    if (way->free_at < now) way->free_at = now;
    uint32_t sent = 0;
    for (uint32_t index = 0; index < all.count; index++) {
      int is_dropped = way->free_at - now > queue_ns, is_lost = 0;
      if (!is_dropped) {
        uint32_t left = all.payload - index * all.segment;
        uint32_t bytes = all.header + (left < all.segment ? left : all.segment);
        way->free_at += (int64_t)(bytes * 8.0 / bits_per_second * NANOSECONDS);
        is_lost = next_random(&way->random) < loss;
      }
      way->dropped += (uint64_t)is_dropped;
      way->lost += (uint64_t)is_lost;
      if (!is_dropped && !is_lost) continue;
      if (index > sent) carry(way, &all, sent, index);
      sent = index + 1;
    }
    if (sent < all.count) carry(way, &all, sent, all.count);
  }
}

/* Delivers the packets that are due. */
static void deliver(struct direction *way, int64_t now) {
  for (struct packet *packet = first(way); packet != NULL && packet->due <= now; packet = first(way)) {
    if (write(way->to, packet + 1, packet->length) < 0) way->dropped++;
    drop_first(way, packet);
  }
}

int main(int count, char **arguments) {
  if (count != 9) {
    fprintf(stderr, "link: eight arguments expected\n");
    return 64;
  }
  bits_per_second = atof(arguments[5]);
  delay_ns = (int64_t)(atof(arguments[6]) / 2 * 1e6);
  loss = atof(arguments[7]);
  uint64_t seed = strtoull(arguments[8], NULL, 10);
  /* The queue holds one product of bandwidth and round trip, and at least 10 ms. */
  queue_ns = 2 * delay_ns > 10000000 ? 2 * delay_ns : 10000000;
  int near = open_interface(arguments[1], arguments[2]);
  int far = open_interface(arguments[3], arguments[4]);

  struct direction ways[2] = {{.from = near, .to = far}, {.from = far, .to = near}};
  for (int index = 0; index < 2; index++) {
    /* Acknowledgements are small, so the ring is generous. */
    double in_flight = bits_per_second / 8 * (double)(queue_ns + delay_ns) / NANOSECONDS;
    ways[index].capacity = ((size_t)(in_flight * 2) + 64 * MAX_PACKET) & ~(size_t)15;
    ways[index].ring = malloc(ways[index].capacity);
    if (ways[index].ring == NULL) fail("malloc");
    ways[index].random = (seed + 1) * 0x9E3779B97F4A7C15ULL + (uint64_t)index;
  }
  prctl(PR_SET_TIMERSLACK, 1UL);
  /* A benchmark that is killed leaves no link behind. */
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  printf("ready\n");
  fflush(stdout);

  while (!is_over) {
    int64_t now = now_ns(), next = -1;
    for (int index = 0; index < 2; index++) {
      take(&ways[index], now);
      deliver(&ways[index], now);
      const struct packet *packet = first(&ways[index]);
      if (packet != NULL && (next < 0 || packet->due < next)) next = packet->due;
    }
    if (next >= 0) {
      /* While packets are under way, the interfaces are read at each tick. */
      if (next > now) nanosleep(&(struct timespec){0, TICK_NS}, NULL);
      continue;
    }
    struct pollfd readable[2] = {{.fd = near, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    poll(readable, 2, 100);
  }
  printf("carried %lu lost %lu dropped %lu\n", ways[0].carried + ways[1].carried, ways[0].lost + ways[1].lost,
         ways[0].dropped + ways[1].dropped);
  return 0;
}
