"""K-space as files bring it: fastMRI, ISMRMRD, BART, NPZ; and images, undersampled afterwards."""
