"""Errors and warnings. Every message says what was given, what was expected and what to do."""


class SrGeoError(Exception):
    """Base of all errors that a user can mend; shown as one line, without a traceback."""


class RecipeError(SrGeoError, ValueError):
    """A training recipe that cannot be used."""


class TrainingDataError(SrGeoError, ValueError):
    """Training imagery that is missing or does not fit the recipe."""


class TrainingError(SrGeoError, RuntimeError):
    """A training run that cannot go on."""


class ModelError(SrGeoError, ValueError):
    """A model that is unknown, damaged or does not fit the picture."""


class OutputError(SrGeoError, OSError):
    """An output that cannot or must not be written."""


class InputError(SrGeoError, ValueError):
    """A raster or product that cannot be read, or that lacks what was asked of it."""


class NoCrsWarning(UserWarning):
    """A raster without a coordinate reference system; its result will have none either."""


class NoDataWarning(UserWarning):
    """A raster without a valid pixel; its result is all nodata."""


class ParcelError(SrGeoError, ValueError):
    """A parcel layer that cannot be read or does not fit the raster."""


class ParcelWarning(UserWarning):
    """Parcels that were left out or changed; the run goes on without them."""


class MissingPartError(SrGeoError, ImportError):
    """An optional part that is not installed, with the command that adds it."""


class EvaluationError(SrGeoError, ValueError):
    """Rasters that cannot be compared."""


class EvaluationWarning(UserWarning):
    """Figures of a comparison that are missing, or that rest on something that no raster states."""


class BandError(SrGeoError, ValueError):
    """Bands that are missing, unknown or do not fit the model."""


class OptionError(SrGeoError, ValueError):
    """An option with a value that it cannot have."""


class ModelWarning(UserWarning):
    """A model whose results are for looking at and not for measuring in, or that was made for other pictures."""


class BlurWarning(UserWarning):
    """A sensor that is sharper or softer than the model was trained for; the nearest blur that it knows is taken."""


class ConsistencyWarning(UserWarning):
    """A result that, seen through the sensor again, is further from the input than consistency promises."""


class PictureWarning(UserWarning):
    """Something about a picture that could not be kept or found; the run goes on without it."""
