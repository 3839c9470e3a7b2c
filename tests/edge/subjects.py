"""The two servers: as they are when nothing is set, but for a cache, a certificate and an upstream of ours."""

import nginx
import servers

# What nugate gives one address by default.
OF_ONE_ADDRESS = 1000


class Nugate(servers.Nugate):
    """nugate with one generic route that passes every method on, and its own limits of connections."""

    def settings(self) -> dict[str, str]:
        return {
            "NUGATE_RAW__EDGE__URL": f"{self.place.origin}/raw/edge/",
            "NUGATE_RAW__EDGE__UNSAFE_METHODS": "true",
            # Its log is on the disk, and nobody reads it.
            "NUGATE_CACHE__FREE_MIN": "0 B",
        }


class RoomyNugate(Nugate):
    """The same where one client may have as many connections as nginx gives it."""

    def settings(self) -> dict[str, str]:
        return {**super().settings(), **servers.Nugate.settings(self)}


class Nginx(servers.Nginx):
    """nginx with a cache, and what it does when nothing is said of its limits."""

    options = nginx.Options(keeping=False)
